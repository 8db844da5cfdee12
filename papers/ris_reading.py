"""RIS in: each record becomes a block with BibTeX's names of types and fields, or says what is wrong."""

import re
from collections import defaultdict
from collections.abc import Iterator

from papers.bibtex import Block
from papers.identifiers import recognise
from papers.ris import INCOMPLETE, PREPRINT, TYPES

KINDS = {tag: kind for kind, tag in reversed(TYPES.items())} | {
    **{"CPAPER": "inproceedings", "CONF": "inproceedings", "JFULL": "article", "MGZN": "article"},
    **{"EJOUR": "article", "ECHAP": "incollection", "EBOOK": "book", "EDBOOK": "book", "THES": "phdthesis"},
}
FIELDS = {
    **{"TI": "title", "T1": "title", "CT": "title"},
    **{"AB": "abstract", "N2": "abstract", "DO": "doi", "VL": "volume", "CY": "address"},
    **{"ET": "edition", "T3": "series", "IS": "number"},
}
VENUE_TAGS = ("T2", "JO", "JF", "JA", "J2", "BT")
NAME_TAGS = {"AU": "author", "A1": "author", "ED": "editor", "A2": "editor"}
LINKS = ("UR", "L1", "L2", "LK")
ELSEWHERE = {"ER", "TY", "PB", "PY", "Y1", "DA", "SP", "EP", *VENUE_TAGS}
_TAG = re.compile(r"[ \t]*([A-Z][A-Z0-9])[ \t]{0,2}-(?:[ \t](.*))?")
RECORD = re.compile(r"^[ \t]*TY[ \t]{1,2}-", re.MULTILINE)
# Outside records only the two spaces of the standard make a tag, for "AI - the next step" is a title.
ORPHAN = re.compile(r"^[ \t]*(?!TY|ER)[A-Z][A-Z0-9]  -(?: |$)", re.MULTILINE)
SEPARATORS = {"author": " and ", "editor": " and ", "keywords": "; ", "note": " ", "spectrum-ids": " "}
Pairs = list[tuple[str, str, int]]  # tag, value, line
Several = defaultdict[str, list[str]]  # values of the fields that SEPARATORS names


def blocks(lines: list[str]) -> Iterator[tuple[Block, int, int]]:
    """Each record among the lines, with the numbers (from 0) of its first line and of the one after it."""
    at, inside = 0, len(lines)
    while at < len(lines):
        if RECORD.match(lines[at]):
            inside = _end(lines, at)
            yield _record(lines[at:inside], at + 1), at, inside
        elif ORPHAN.match(lines[at]):
            inside = _end(lines, at)
            remedy = "a RIS record begins with its type, such as TY  - JOUR"
            error = f"line {at + 1}: {remedy}; add that line."
            raw = "\n".join(lines[at:inside])
            yield Block("failed", at + 1, raw, error=error, format="ris"), at, inside
        else:
            inside = at + 1
        at = inside


def _end(lines: list[str], start: int) -> int:
    """The line after ER. Where there is none, a record goes on to the next, or to other text after a gap."""
    gap = 0
    for at in range(start + 1, len(lines)):
        tag = _TAG.fullmatch(lines[at])
        if tag and tag[1] == "ER":
            return at + 1
        if (tag and tag[1] == "TY") or re.match(r"[ \t]*@\w+[ \t]*[{(]", lines[at]):
            return gap or at
        if not gap and not tag and lines[at].strip() and not lines[at - 1].strip():
            gap = at
    return gap or len(lines)


def _record(lines: list[str], line: int) -> Block:
    pairs = _pairs(lines, line)
    kind = pairs[0][1].strip().upper()
    block = Block("entry", line, "\n".join(lines).rstrip(), KINDS.get(kind, "misc"), format="ris")
    block.lines["title"] = line
    if pairs[-1][0] != "ER":
        block.notes.append(f"line {line}: the record does not end with ER  - .")
    several: Several = defaultdict(list)
    for tag, value, at in pairs:
        _take(block, several, tag, value.strip(), at)
    block.fields |= {name: SEPARATORS[name].join(values) for name, values in several.items()}
    _date(block, pairs)
    _venue(block, pairs, preprint=kind == PREPRINT)
    _pages(block, pairs)
    return block


def _pairs(lines: list[str], line: int) -> Pairs:
    """A line without a tag goes on with the value before it."""
    found: list[tuple[str, list[str], int]] = []
    for at, text in enumerate(lines, start=line):
        if tag := _TAG.fullmatch(text):
            found.append((tag[1], [tag[2] or ""], at))
        else:
            found[-1][1].append(text.strip())
    return [(tag, " ".join(values), at) for tag, values, at in found]


def _take(block: Block, several: Several, tag: str, value: str, at: int) -> None:
    if not value or tag in ELSEWHERE:
        return
    if tag == "ID":
        block.key = block.key or value
    elif tag in NAME_TAGS:
        _add(block, several, NAME_TAGS[tag], _name(value), at)
    elif tag in LINKS:
        _link(block, several, value, at)
    elif tag in {"KW", "N1"}:
        _add(block, several, *_keyword_or_note(tag, value), at)
    else:
        _once(block, _field(block, tag, value), value, at)


def _field(block: Block, tag: str, value: str) -> str:
    if tag == "SN":
        return "issn" if re.fullmatch(r"\d{4}-?\d{3}[\dXx]", value) else "isbn"
    if tag == "IS" and "number" in block.fields:
        return "issue"
    return FIELDS.get(tag, tag.lower())


def _keyword_or_note(tag: str, value: str) -> tuple[str, str]:
    if tag == "KW":
        return "keywords", value
    return ("author", "others") if value == INCOMPLETE else ("note", value)


def _add(block: Block, several: Several, name: str, value: str, at: int) -> None:
    several[name].append(value)
    block.lines.setdefault(name, at)


def _once(block: Block, name: str, value: str, at: int) -> None:
    if name not in block.fields:
        block.fields[name], block.lines[name] = value, at
    elif block.fields[name] != value:
        kept = f"line {block.lines[name]} is kept, “{value[:60]}” is not"
        block.notes.append(f"line {at}: {name} is given twice; that of {kept}.")


def _link(block: Block, several: Several, value: str, at: int) -> None:
    """The first is its address; of more those that are identifiers."""
    name = recognise(value)
    if "url" not in block.fields:
        _once(block, "url", value, at)
    elif name:
        _add(block, several, "spectrum-ids", ":".join(name), at)
    else:
        block.notes.append(f"line {at}: a further address was left out, {value[:200]}.")


def _name(typed: str) -> str:
    """ "Last, First, Suffix" as it is stored: "Last, Suffix, First"."""
    last, *more = [" ".join(part.split()) for part in typed.replace(" and ", " & ").split(",")]
    more = [part for part in more if part]
    return ", ".join([last, *more[1:], *more[:1]])


def _date(block: Block, pairs: Pairs) -> None:
    dates = {tag: (value.strip(), at) for tag, value, at in reversed(pairs) if tag in {"PY", "Y1", "DA"}}
    for tag in ("PY", "Y1", "DA"):
        value, at = dates.get(tag, ("", 0))
        year, _, rest = value.partition("/")
        if year:
            _once(block, "year", year, at) if "year" not in block.fields else None
        if (month := rest.split("/")[0]) and "month" not in block.fields:
            _once(block, "month", month, at)


def _venue(block: Block, pairs: Pairs, preprint: bool) -> None:
    """A thesis, a report or a preprint has its publisher for its venue."""
    found = {tag: (value.strip(), at) for tag, value, at in reversed(pairs) if value.strip()}
    publisher = found.get("PB")
    if publisher and (preprint or block.type in {"phdthesis", "mastersthesis", "techreport"}):
        _once(block, "institution", *publisher)
    elif publisher:
        _once(block, "publisher", *publisher)
    venue = next((found[tag] for tag in VENUE_TAGS if tag in found), None)
    if venue:
        _once(block, "journal" if block.type == "article" else "booktitle", *venue)


def _pages(block: Block, pairs: Pairs) -> None:
    found = {tag: (value.strip(), at) for tag, value, at in reversed(pairs) if tag in {"SP", "EP"}}
    first, last = (found.get(tag, ("", block.line)) for tag in ("SP", "EP"))
    if first[0] or last[0]:
        _once(block, "pages", "–".join(filter(None, [first[0], last[0]])), first[1])
