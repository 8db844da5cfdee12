"""What people send in: kept exactly as typed, one Entry for each reference in it, nothing dropped.

An entry is new, already here, perhaps here, or invalid with line and remedy; a moderator decides later.
"""

import codecs
import re
from collections.abc import Iterator, Set

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from papers import bibtex, identity
from papers.facts import Facts
from papers.models import Entry, Paper, Submission, Technique
from papers.reference import Reading, interpret

MAX_BYTES = 5 * 2**20
MAX_ENTRIES = 10_000
_BLOCK = re.compile(r"@\w*[ \t]*[{(]")
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
    """Every reference of a BibTeX text. `techniques` are the slugs that its keywords may name."""
    return [interpret(block, techniques) for block in bibtex.read(text) if block.kind in {"entry", "failed"}]


@transaction.atomic
def submit(text: str, *, who: AbstractBaseUser | None, filename: str = "", note: str = "") -> Submission:
    """Keep the text and one Entry for each reference in it. Raises Refused, and then keeps nothing."""
    _refuse_no_text(text)
    _refuse_too_large(len(text.encode()))
    _refuse_too_many(sum(1 for _ in _BLOCK.finditer(text)))
    readings = read(text, set(Technique.objects.values_list("slug", flat=True)))
    _refuse_too_many(len(readings))
    if not readings:
        raise Refused("No BibTeX entry was found; one begins like @article{key, title = {...}, ...}.")
    submission = Submission.objects.create(
        submitted_by=who, text=text, filename=filename.replace("\0", "")[-200:], note=note.replace("\0", "")
    )
    Entry.objects.bulk_create(_entries(submission, readings), batch_size=500)
    return submission


def _entries(submission: Submission, readings: list[Reading]) -> Iterator[Entry]:
    stored = identity.index_around([reading.facts for reading in readings if not reading.faults])
    earlier: identity.Index[int] = identity.Index()
    for position, reading in enumerate(readings, start=1):
        found, reason, paper = _judge(reading, stored, earlier)
        if found != Entry.Found.INVALID:
            earlier.add(reading.facts, position)
        yield Entry(
            submission=submission,
            position=position,
            line=reading.line,
            raw=reading.raw,
            fields=reading.facts.to_json() | {"notes": reading.notes},
            found=found,
            reason=reason,
            paper=paper,
        )


def _judge(
    reading: Reading, stored: identity.Index[Paper], earlier: identity.Index[int]
) -> tuple[Entry.Found, str, Paper | None]:
    if reading.faults:
        return Entry.Found.INVALID, "\n".join(reading.faults), None
    if same := stored.find(reading.facts):
        return Entry.Found.KNOWN, f"Already here: {same[1]}.", same[0]
    if same := earlier.find(reading.facts):
        return Entry.Found.KNOWN, f"The same as entry {same[0]} of this submission: {same[1]}.", None
    return _suspect(reading.facts, stored, earlier)


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


def _refuse_too_many(entries: int) -> None:
    if entries > MAX_ENTRIES:
        raise Refused(
            f"The text holds {entries:,} entries, and {MAX_ENTRIES:,} fit at once; send it in parts."
        )


def _refuse_no_text(text: str) -> None:
    if not text.strip():
        raise Refused("There is nothing in it; paste or upload at least one BibTeX entry.")
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise Refused("It holds bytes that are no text; save it as plain UTF-8 text and send it again.")
