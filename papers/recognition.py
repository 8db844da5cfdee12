"""Every reference of a text, whatever it is written in: BibTeX, RIS, CSL-JSON, identifiers and links, mixed.

Nothing is dropped: what is neither read nor faulty is a comment, and the remarks say so.
"""

import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass, field
from itertools import islice

from papers import bibtex, csl_reading, mentions, ris_reading
from papers.bibtex import Block
from papers.facts import Facts
from papers.plain_reference import CslInterpreter, RisInterpreter, read_mention
from papers.reference import MOST_NOTES, Interpreter, Reading

INTERPRETERS = {"bibtex": Interpreter, "ris": RisInterpreter, "csl": CslInterpreter}
MOST_REMARKS = 20
_BLOCK = re.compile(r"@\w*[ \t]*[{(]|^[ \t]*[A-Za-z]+[ \t]*[{(][^\s,{}()=]*,", re.MULTILINE)
_CLOSING = re.compile(r"[\]},\s]*")
logger = logging.getLogger(__name__)


class TooMany(ValueError):
    """More references than were asked for."""


@dataclass
class Recognised:
    """`blocks` are the references of a text in order, read or failed; `remarks` tell of the rest of it."""

    blocks: list[Block]
    remarks: list[str] = field(default_factory=list)


@dataclass
class Comments:
    """Lines that are no references: the first of them in words, and how many more."""

    first: list[str] = field(default_factory=list)
    more: int = 0

    def add(self, line: int, text: str) -> None:
        if len(self.first) < MOST_REMARKS:
            self.first.append(f"line {line}: “{text[:80]}” was taken as a comment.")
        else:
            self.more += 1


def recognise(text: str, most: int) -> Recognised:
    """Every reference of a text. Raises TooMany before they could fill the memory."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if sum(1 for _ in islice(_BLOCK.finditer(text), most + 1)) > most:
        raise TooMany
    found: list[Block] = []
    text = _take_json(text, found, most)
    text = _take_ris(text, found, most)
    others = bibtex.read(text) if "@" in text or _BLOCK.search(text) else [_stray(text)]
    others += [tail for block in others if block.kind == "failed" and (tail := _cut_tail(block))]
    found += [block for block in others if block.kind in {"entry", "failed"}]
    stray = (block for block in others if block.kind == "stray")
    comments = Comments()
    _extend(found, _mentions(stray, listed=not found, comments=comments), most)
    found.sort(key=lambda block: block.line)
    return Recognised(found, _remarks(comments, others))


def interpret(block: Block, techniques: Set[str]) -> Reading:
    """The facts of an "entry" or "failed" block. `techniques` are the slugs that keywords may name."""
    reading = Reading(
        block.line, block.raw, Facts(key=block.key), notes=list(block.notes), format=block.format
    )
    if block.kind == "failed":
        reading.faults.append(block.error)
    elif block.format in INTERPRETERS:
        INTERPRETERS[block.format](block, reading, techniques).read()
    else:
        read_mention(block, reading)
    if (more := len(reading.notes) - MOST_NOTES) > 0:
        reading.notes[MOST_NOTES:] = [f"and {more} more notes."]
    return reading


def interpret_safely(block: Block, techniques: Set[str]) -> Reading:
    """interpret(), and a fault of ours in one reference takes no other with it."""
    try:
        return interpret(block, techniques)
    except Exception:  # whatever it is, the log has it and the submitter gets an answer
        logger.exception("A reference could not be interpreted: %r", block.raw[:2000])
        sentence = (
            f"line {block.line}: it could not be read, by a fault of this site, which its log now shows."
        )
        return Reading(block.line, block.raw, faults=[sentence], format=block.format)


def _extend(found: list[Block], more: Iterable[Block], most: int) -> None:
    found += islice(more, most + 1 - len(found))
    if len(found) > most:
        raise TooMany


def _take_json(text: str, found: list[Block], most: int) -> str:
    """The text with empty lines instead of its CSL-JSON."""
    kept, position, line = [], 0, 1
    while start := csl_reading.START.search(text, position):
        kept.append(text[position : start.start()])
        line += kept[-1].count("\n")
        end = start.start()
        for block, after in csl_reading.blocks(text, start.start(), line):
            _extend(found, [block], most)
            end = after
        end = _CLOSING.match(text, end).end() if end > start.start() else start.end()
        kept.append("\n" * text.count("\n", start.start(), end))
        line += len(kept[-1])
        position = end
    return "".join([*kept, text[position:]])


def _take_ris(text: str, found: list[Block], most: int) -> str:
    """The text with empty lines instead of its RIS records."""
    if not (ris_reading.RECORD.search(text) or ris_reading.ORPHAN.search(text)):
        return text
    lines = text.split("\n")
    for block, start, end in ris_reading.blocks(lines):
        _extend(found, [block], most)
        lines[start:end] = [""] * (end - start)
    return "\n".join(lines)


def _cut_tail(failed: Block) -> Block | None:
    """A list of identifiers after an empty line: what is not closed has swallowed it, and gives it back."""
    lines = failed.raw.split("\n")
    begin = len(lines)
    while begin and (not lines[begin - 1].strip() or mentions.is_nothing_else(lines[begin - 1])):
        begin -= 1
    begin = next((at + 1 for at in range(begin, len(lines)) if not lines[at].strip()), len(lines))
    tail = "\n".join(lines[begin:])
    if not tail.strip():
        return None
    failed.raw = "\n".join(lines[:begin]).rstrip()
    return Block("stray", failed.line + begin, tail)


def _stray(text: str) -> Block:
    head = text[: len(text) - len(text.lstrip())]
    return Block("stray", 1 + head.count("\n"), text.strip())


def _mentions(stray: Iterable[Block], listed: bool, comments: Comments) -> Iterator[Block]:
    """A reference for each identifier. A line without one is a comment; in a mere list, `listed`, a fault."""
    for block in stray:
        for line, text in enumerate(block.raw.split("\n"), start=block.line):
            if not (text := text.strip()):
                continue
            names = [] if text.startswith(mentions.COMMENT) else _named(text, listed)
            for name in names:
                yield Block("entry", line, text, fields=dict([name]), format=name[0])
            if not names and listed and not text.startswith(mentions.COMMENT):
                yield Block("failed", line, text, error=_unrecognised(line), format="line")
            elif not names:
                comments.add(line, text)


def _named(text: str, listed: bool) -> list[mentions.Name]:
    """Between entries of BibTeX a web address counts only where it stands alone."""
    names = mentions.in_line(text)
    if listed or mentions.is_nothing_else(text):
        return names
    return [name for name in names if name[0] != "url"]


def _unrecognised(line: int) -> str:
    remedy = "add one to the line, or complete the entry by hand"
    return f"line {line}: no DOI, arXiv id, link or entry is recognised here; {remedy}."


def _remarks(comments: Comments, others: list[Block]) -> list[str]:
    """What of the text is no reference."""
    kinds = Counter(block.kind for block in others if block.kind in {"string", "preamble", "comment"})
    said = [f"{count} @{kind}" for kind, count in kinds.items()]
    more = [f"and {comments.more:,} more lines of comment."] if comments.more else []
    blocks = [f"{', '.join(said)} read, which are no references."] if said else []
    return [*comments.first, *more, *blocks]
