"""What people send in: kept exactly as typed, one Entry for each reference in it, nothing dropped.

An entry is new, known, perhaps known, to be completed, or invalid with line and remedy; a moderator decides.
"""

import codecs
import re
import time
from collections.abc import Iterator, Set
from functools import lru_cache
from typing import Self

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import Count, F, QuerySet

from papers import identity
from papers.bibtex import Block
from papers.facts import Facts, lacking
from papers.models import Entry, Paper, Submission, Technique
from papers.recognition import Recognised, TooMany, interpret, interpret_safely, recognise
from papers.reference import Reading

MAX_BYTES = 5 * 2**20
MAX_ENTRIES = 10_000
BATCH = 500
_HALVES = re.compile("[\ud800-\udfff]")
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class Refused(Exception):
    """The whole submission cannot be taken; the message says why and what to do."""


def decode(data: bytes) -> str:
    """The text of an uploaded file: by its byte order mark, else UTF-16, UTF-8 or, last, Latin-1 (Windows).

    Raises Refused when it is too large or no text.
    """
    _refuse_too_large(len(data))
    marked = next((encoding for mark, encoding in _MARKS if data.startswith(mark)), None)
    for encoding in [marked] if marked else [*_utf16_by_its_zeros(data), "utf-8", "cp1252", "latin-1"]:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        _refuse_no_text(text)
        return text
    raise Refused("The file is not readable as text; save it as UTF-8 and send it again.")


def read(text: str, techniques: Set[str]) -> list[Reading]:
    """Every reference of a text. `techniques` are the slugs that its keywords may name."""
    return [interpret(block, techniques) for block in _recognise(text).blocks]


def submit(
    text: str,
    *,
    who: AbstractBaseUser | None,
    filename: str = "",
    note: str = "",
    within_s: float | None = None,
) -> Submission:
    """Keep the text and one Entry for each reference in it. Raises Refused, and then keeps nothing.

    What takes longer than `within_s` is left to read_on(): the submission says in `total` how many there are.
    """
    _refuse_no_text(text)
    _refuse_too_large(len(text.encode()))
    recognised = _recognise_once(text)
    if all(block.format == Entry.Format.LINE for block in recognised.blocks):
        raise Refused(
            "No reference is recognised in it; "
            "send BibTeX, RIS, CSL-JSON, or a DOI, arXiv id or link on each line."
        )
    submission = Submission.objects.create(
        submitted_by=who,
        text=text,
        filename=filename.replace("\0", "")[-200:],
        note=note.replace("\0", ""),
        total=len(recognised.blocks),
        remarks=recognised.remarks,
    )
    _store(submission, recognised.blocks, within_s)
    return submission


def read_on(submission: Submission, within_s: float | None = None) -> bool:
    """Store the entries that are not there yet, from wherever somebody stopped; whether all are there now.

    Anybody may call this at any time, and any number at once: one reads, the others return.
    """
    if submission.entries.count() < submission.total:
        _store(submission, _recognise_once(submission.text).blocks, within_s)
    return submission.entries.count() >= submission.total


def unread() -> QuerySet[Submission]:
    """Submissions that still wait for some of their entries."""
    counted = Submission.objects.alias(stored=Count("entries"))
    return counted.filter(stored__lt=F("total")).order_by("pk")


def _store(submission: Submission, blocks: list[Block], within_s: float | None) -> None:
    """Batch by batch, at least one, each a transaction: whoever dies or stops leaves whole batches behind."""
    end = None if within_s is None else time.monotonic() + within_s
    techniques = set(Technique.objects.values_list("slug", flat=True))
    earlier: Earlier | None = None
    while True:
        with transaction.atomic():
            mine = Submission.objects.select_for_update(skip_locked=True).filter(pk=submission.pk)
            if not mine.values_list("pk"):
                return  # somebody else is reading
            stored = submission.entries.count()
            if earlier is None or earlier.stored != stored:
                earlier = Earlier.of(submission)
            readings = [interpret_safely(block, techniques) for block in blocks[stored : stored + BATCH]]
            Entry.objects.bulk_create(_entries(submission, readings, earlier))
        if earlier.stored >= len(blocks):
            _recognise_once.cache_clear()
            return
        if end is not None and time.monotonic() > end:
            return


class Earlier:
    """The entries of a submission so far, for finding those that come again."""

    def __init__(self) -> None:
        self.stored = 0
        self.sound: identity.Index[int] = identity.Index()
        self.incomplete: identity.Index[int] = identity.Index()

    @classmethod
    def of(cls, submission: Submission) -> Self:
        earlier = cls()
        # What comparing needs, for abstracts are long and entries many.
        names = ("title", "authors", "authors_complete", "year", "identifiers")
        entries = submission.entries.order_by("position")
        for found, *values in entries.values_list("found", *(f"fields__{name}" for name in names)):
            earlier.add(found, Facts(**dict(zip(names, values, strict=True))))
        return earlier

    def add(self, found: str, facts: Facts) -> None:
        self.stored += 1
        if found == Entry.Found.INVALID:
            return
        if lacking(facts):
            self.incomplete.add(_by_identifiers(facts), self.stored)
        else:
            self.sound.add(facts, self.stored)


def _entries(submission: Submission, readings: list[Reading], earlier: Earlier) -> Iterator[Entry]:
    known_of = [reading.facts for reading in readings if not reading.faults or reading.can_be_completed]
    stored = identity.index_around(known_of)
    for reading in readings:
        found, reason, paper = _judge_reading(reading, stored, earlier)
        earlier.add(found, reading.facts)
        yield Entry(
            submission=submission,
            position=earlier.stored,
            line=reading.line,
            format=reading.format,
            raw=reading.raw,
            fields=reading.facts.to_json() | {"notes": reading.notes},
            found=found,
            reason=reason,
            paper=paper,
        )


def _judge_reading(
    reading: Reading, stored: identity.Index[Paper], earlier: Earlier
) -> tuple[Entry.Found, str, Paper | None]:
    if not reading.faults:
        return judge(reading.facts, stored, earlier.sound)
    if not reading.can_be_completed:
        return Entry.Found.INVALID, "\n".join(reading.faults), None
    facts = _by_identifiers(reading.facts)
    for others in (earlier.sound, earlier.incomplete):
        found, reason, paper = judge(facts, stored, others)
        if found != Entry.Found.NEW:
            return found, reason, paper
    return Entry.Found.INCOMPLETE, "\n".join(reading.faults), None


def _by_identifiers(facts: Facts) -> Facts:
    """Half of a title, author and year must not make two references the same."""
    return Facts(identifiers=facts.identifiers)


def judge(
    facts: Facts, stored: identity.Index[Paper], earlier: identity.Index[int]
) -> tuple[Entry.Found, str, Paper | None]:
    """Whether sound facts are here already: among the papers, or earlier in their own submission."""
    if same := stored.find(facts):
        return Entry.Found.KNOWN, f"Already here: {same[1]}.", same[0]
    if same := earlier.find(facts):
        return Entry.Found.KNOWN, f"The same as entry {same[0]} of this submission: {same[1]}.", None
    return _suspect(facts, stored, earlier)


def _suspect(
    facts: Facts, stored: identity.Index[Paper], earlier: identity.Index[int]
) -> tuple[Entry.Found, str, Paper | None]:
    if twin := stored.suspect(facts):
        return Entry.Found.POSSIBLE, f"Perhaps already here: {twin[1]}.", twin[0]
    if twin := earlier.suspect(facts):
        reason = f"Perhaps the same as entry {twin[0]} of this submission: {twin[1]}."
        return Entry.Found.POSSIBLE, reason, None
    return Entry.Found.NEW, "", None


def _utf16_by_its_zeros(data: bytes) -> list[str]:
    """ASCII text in UTF-16 without a mark has a zero in every second byte, at one side."""
    even, odd = data[0:2000:2].count(0), data[1:2000:2].count(0)
    if max(even, odd) * 4 < min(len(data), 2000):
        return []
    return ["utf-16-be" if even > odd else "utf-16-le"]


def _refuse_too_large(size: int) -> None:
    if size > MAX_BYTES:
        raise Refused(
            f"The text is {size / 2**20:.1f} MB, and at most {MAX_BYTES // 2**20} MB fit; send it in parts."
        )


def _recognise(text: str) -> Recognised:
    try:
        return recognise(text, MAX_ENTRIES)
    except TooMany:
        raise Refused(f"It holds more than {MAX_ENTRIES:,} references; send it in parts.") from None


# A large text is read on by several requests, often of one process.
_recognise_once = lru_cache(maxsize=1)(_recognise)


def _refuse_no_text(text: str) -> None:
    if not text.strip():
        raise Refused("There is nothing in it; paste or upload at least one reference.")
    if "\0" in text or _HALVES.search(text):
        raise Refused("It holds bytes that are no text; save it as plain UTF-8 text and send it again.")
