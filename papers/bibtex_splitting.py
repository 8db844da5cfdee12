"""A BibTeX text in its blocks, with the line of each field. bibtexparser decides what a block is.

Entries that are plainly well-formed, as most are, are read by one pattern a field, for that is five times as
fast; everything else goes through bibtexparser, and a test compares the two.
"""

import logging
import re
from collections.abc import Iterator
from typing import NamedTuple

from bibtexparser import model
from bibtexparser.splitter import Splitter

# It logs each broken block; here a broken block is an answer for the person who sent it.
logging.getLogger("bibtexparser.splitter").disabled = True

# At the beginning of a line this begins a block, whatever is still open: bibtexparser's rule.
_BEGINNING = re.compile(r"^[ \t]*(@\w*[ \t]*[{(])", re.MULTILINE)
# A backslash before a brace is a question for bibtexparser.
_TEXT = r"[^{}\\]++|\\(?![{}])"
_BRACED = f"(?:{_TEXT})*+"
for _depth in range(3):
    _BRACED = rf"(?:(?:{_TEXT})|\{{{_BRACED}\}})*+"
_HEAD = re.compile(r'@(\w+)[ \t]*\{([^{}",=\\@]*),')
_FIELD = re.compile(rf"""\s*([\w+:./-]+)\s*=\s*(\{{{_BRACED}\}}|"[^"{{}}\\]*"|\w+)\s*(?:,|(?=\}}))""")
_END = re.compile(r"\s*\}\s*")
_NO_ENTRY = {"comment", "preamble", "string"}


class Field(NamedTuple):
    name: str
    value: str  # with its delimiters
    line: int


class Part(NamedTuple):
    """kind: "entry" | "string" | "preamble" | "comment" | "stray" | "failed"; `reason` is bibtexparser's."""

    kind: str
    line: int
    raw: str
    type: str = ""
    key: str = ""
    fields: tuple[Field, ...] = ()
    reason: str = ""


def split(text: str) -> Iterator[Part]:
    """Every block, and the text between them, in order; lines end in \\n and count from 1."""
    for chunk in chunks(text):
        yield from _with_leftovers(read_chunk(*chunk))


def chunks(text: str) -> Iterator[tuple[str, int, str]]:
    """From the beginning of a block to that of the next: the text, its line, and the head that follows."""
    heads = [(match.start(1), match[1]) for match in _BEGINNING.finditer(text)]
    if not heads or heads[0][0] > 0:
        heads.insert(0, (0, ""))
    line = 1
    for (start, _), (end, following) in zip(heads, [*heads[1:], (len(text), "")], strict=True):
        yield text[start:end], line, following
        line += text.count("\n", start, end)


def read_chunk(chunk: str, line: int, following: str) -> list[Part]:
    entry = _well_formed(chunk, line)
    return [entry] if entry else list(by_bibtexparser(chunk, line, following))


def _with_leftovers(parts: list[Part]) -> Iterator[Part]:
    """After other text an @ within a line begins an entry only if that can be read: mail@{x} does not."""
    after_text = False
    for part in parts:
        leftover = part.kind == "failed" or (part.kind == "entry" and not part.fields)
        yield part._replace(kind="stray") if after_text and leftover else part
        after_text = after_text or part.kind in {"failed", "stray"}


def _well_formed(chunk: str, line: int) -> Part | None:
    """The one entry that a chunk consists of, or None where bibtexparser must look."""
    head = _HEAD.match(chunk)
    if head is None or head[1].lower() in _NO_ENTRY:
        return None
    fields, position, at, counted = [], head.end(), line, 0
    while field := _FIELD.match(chunk, position):
        equals = chunk.index("=", field.end(1))
        at, counted = at + chunk.count("\n", counted, equals), equals
        fields.append(Field(field[1], field[2], at))
        position = field.end()
    if not _END.fullmatch(chunk, position):
        return None
    return Part("entry", line, chunk.rstrip(), head[1].lower(), head[2].strip(), tuple(fields))


def by_bibtexparser(text: str, line: int = 1, following: str = "") -> Iterator[Part]:
    """What bibtexparser says of a text; what is not closed in it meets the head that follows, or the end."""
    # It does not count a line that ends in a backslash; to LaTeX both are a space.
    blocks = Splitter(text.replace("\\\n", "\\ \n") + following).split().blocks
    for block in blocks[:-1] if following else blocks:
        yield _part(_without_duplicate_mark(block), line)


def _without_duplicate_mark(block: model.Block) -> model.Block:
    """bibtexparser wraps blocks whose key or field occurred before; nothing is wrong with their text."""
    while isinstance(block, (model.DuplicateBlockKeyBlock, model.DuplicateFieldKeyBlock)):
        block = block.ignore_error_block
    return block


def _part(block: model.Block, line: int) -> Part:
    at = line + (block.start_line or 0)
    if isinstance(block, model.Entry):
        fields = (Field(f.key, f.value, line + (f.start_line or 0)) for f in block.fields)
        return Part("entry", at, block.raw, block.entry_type, block.key, tuple(fields))
    if isinstance(block, model.String):
        return Part("string", at, block.raw, "", block.key, (Field(block.key, block.value, at),))
    if isinstance(block, model.ParsingFailedBlock):
        return Part(
            "failed", at, block.raw.rstrip(), reason=str(getattr(block.error, "abort_reason", block.error))
        )
    kinds = {model.Preamble: "preamble", model.ImplicitComment: "stray"}
    return Part(kinds.get(type(block), "comment"), at, block.raw)
