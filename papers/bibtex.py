"""BibTeX in and out. Reading never fails: every block comes back, read or with what is wrong with it.

Values, @string and crossref are resolved here, so that faults keep their lines.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from papers import identifiers, latex, mentions, names
from papers.bibtex_splitting import Field, Part, split
from papers.bibtex_values import evaluate
from papers.facts import Facts
from papers.models import Paper

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
VENUE_FIELDS = {
    "article": "journal",
    "inproceedings": "booktitle",
    "incollection": "booktitle",
    "phdthesis": "school",
    "mastersthesis": "school",
    "techreport": "institution",
}
# What a child takes from the volume that its crossref names.
INHERITED = ("year", "date", "month", "editor", "publisher", "series", "volume", "address", "organization")
_FIELD_OUTSIDE = re.compile(r"(?<![\w-])[\w-]+\s*=\s*[{\"\w]")
_ADDRESS = re.compile(r"https?://\S+")  # ?id=x is no field
_ENTRY_OUTSIDE = re.compile(r"^[ \t]*(?:@[ \t]*)?[A-Za-z]+\s*[{(]\s*(?:[^\s,{}()=]+\s*)?,", re.MULTILINE)


@dataclass
class Block:
    """One block of a text, from `line` (counted from 1) on.

    kind: "entry" | "failed" | "string" | "preamble" | "comment" | "stray". Entries have `fields` (lower-case
    names, values without delimiters, in BibTeX LaTeX as it stands) and `lines` (where each field is). `error`
    is a sentence. Other formats are read into the same blocks, with BibTeX's names of types and fields.
    """

    kind: str
    line: int
    raw: str
    type: str = ""
    key: str = ""
    fields: dict[str, str] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    error: str = ""
    format: str = "bibtex"


def read(text: str) -> list[Block]:
    """Every block of the text, in order."""
    parts = list(split(text.replace("\r\n", "\n").replace("\r", "\n")))
    macros = _macros(parts)
    blocks: list[Block] = []
    for part in parts:
        if part.kind == "stray":
            _read_stray_text(part, blocks)
        else:
            blocks.append(_read_block(part, macros))
    _inherit(blocks)
    _report_same_keys(blocks)
    return blocks


def write(papers: Iterable[Paper | Facts]) -> Iterator[str]:
    """One complete entry each. Reading what this wrote and writing it again gives the same text."""
    return (entry(paper) for paper in papers)


def entry(paper: Paper | Facts) -> str:
    """`@kind{key, ...}` and a newline, every field LaTeX-safe."""
    facts = Facts.of(paper) if isinstance(paper, Paper) else paper
    lines = [f"  {name} = {value},\n" for name, value in _fields(facts)]
    kind = "misc" if on_arxiv_alone(facts) else facts.kind
    return f"@{kind}{{{facts.key},\n{''.join(lines)}}}\n"


def _fields(facts: Facts) -> Iterator[tuple[str, str]]:
    yield "title", f"{{{latex.protected(facts.title)}}}"
    if author := names.write(facts.authors, facts.authors_complete):
        yield "author", f"{{{author}}}"
    yield "year", f"{{{facts.year}}}"
    if facts.month:
        yield "month", MONTHS[facts.month - 1]
    for name, value in _texts(facts):
        if value:
            yield name, f"{{{latex.escape(value)}}}"
    # Verbatim: biblatex and \\url want no LaTeX in these.
    for name, value in _addresses(facts):
        yield name, f"{{{value}}}"


def _texts(facts: Facts) -> Iterator[tuple[str, str]]:
    if not on_arxiv_alone(facts):
        yield VENUE_FIELDS.get(facts.kind, "howpublished"), facts.venue
    yield from sorted((name, value) for name, value in facts.details.items() if name != "primaryclass")
    yield "abstract", facts.abstract
    yield "keywords", ", ".join(facts.techniques)
    yield "spectrum-verified", "" if facts.verified else "no"
    yield "spectrum-sources", "; ".join(facts.sources)


def _addresses(facts: Facts) -> Iterator[tuple[str, str]]:
    ids = sorted(facts.identifiers)
    main = dict(reversed(ids))  # the first of each scheme
    if "doi" in main:
        yield "doi", main["doi"]
    if "arxiv" in main:
        yield "eprint", main["arxiv"]
        yield "archivePrefix", "arXiv"
    if primary := facts.details.get("primaryclass"):
        yield "primaryClass", latex.escape(primary)
    if others := [f"{s}:{v}" for s, v in ids if s not in {"doi", "arxiv"} or v != main[s]]:
        yield "spectrum-ids", " ".join(others)
    if url := facts.url or main_link(facts):
        yield "url", url
    if facts.code_url:
        yield "code", facts.code_url


def main_link(facts: Facts) -> str:
    """The address of a paper that has none of its own: that of its best identifier."""
    ids = dict(sorted(facts.identifiers, reverse=True))
    best = [scheme for scheme in ("arxiv", "openreview", "acl", "doi", "url") if scheme in ids]
    return identifiers.link(best[0], ids[best[0]]) if best else ""


def doi(facts: Facts) -> str:
    """Its DOI; a preprint that has no other has the one that arXiv gave it."""
    ids = dict(sorted(facts.identifiers, reverse=True))
    if "doi" not in ids and on_arxiv_alone(facts):
        return f"10.48550/arXiv.{ids['arxiv']}"
    return ids.get("doi", "")


def arxiv_number(facts: Facts) -> str:
    """ "arXiv:2205.14135", or nothing."""
    return next((f"arXiv:{value}" for scheme, value in sorted(facts.identifiers) if scheme == "arxiv"), "")


def on_arxiv_alone(facts: Facts) -> bool:
    """A preprint that appeared nowhere else: then eprint and archivePrefix say where it is."""
    if not any(scheme == "arxiv" for scheme, _ in facts.identifiers):
        return False
    named = re.match(r"arxiv|corr\b", facts.venue, re.IGNORECASE) is not None
    return named or (not facts.venue and facts.kind in {"misc", "article"})


def _macros(parts: Iterable[Part]) -> dict[str, str]:
    macros = {month: month for month in MONTHS}
    for part in parts:
        if part.kind == "string":
            try:
                macros[part.key.lower()] = evaluate(part.fields[0].value, macros, [])
            except ValueError:
                continue  # the block itself reports it
    return macros


def _read_block(part: Part, macros: dict[str, str]) -> Block:
    block = Block(part.kind, part.line, part.raw, part.type.lower(), part.key)
    if part.kind == "failed":
        block.error = _explain(part)
    elif part.kind == "string":
        _read_string(part.fields[0], block, macros)
    else:
        _read_fields(part.fields, block, macros)
    return block


def _read_string(definition: Field, block: Block, macros: dict[str, str]) -> None:
    try:
        evaluate(definition.value, macros, [])
    except ValueError as error:
        block.kind, block.error = "failed", f"line {block.line}: @string {block.key}: {error}."


def _read_fields(found: Iterable[Field], block: Block, macros: dict[str, str]) -> None:
    for typed, delimited, at in found:
        name = typed.lower()
        unknown: list[str] = []
        try:
            value = evaluate(delimited, macros, unknown)
        except ValueError as error:
            block.kind, block.error = "failed", f"line {at}: {name}: {error}."
            return
        block.notes += [f"line {at}: {name}: no @string defines {word}; kept as it is." for word in unknown]
        if name in block.fields:
            kept = f"line {block.lines[name]} is kept, “{value[:60]}” is not"
            block.notes.append(f"line {at}: {name} is given twice; that of {kept}.")
            continue
        block.fields[name], block.lines[name] = value, at


def _explain(failed: Part) -> str:
    """A sentence on a block that bibtexparser gave up, with the line where it did."""
    reason, line = failed.reason, failed.line
    where = line + failed.raw.count("\n")
    opening = failed.raw.split("\n")[0][:60].strip()
    if "end of file" in reason:
        return f"line {line}: “{opening}” is never closed; add the missing brace or quote."
    if "block start" in reason:
        return f"line {line}: “{opening}” is not closed before the next entry; add the brace or quote."
    if "comma after entry key" in reason:
        return f"line {where}: a comma must follow the key of “{opening}”."
    return (
        f"line {where}: expected a field, name = {{value}}; look for a missing or doubled comma, brace or =."
    )


def _read_stray_text(part: Part, blocks: list[Block]) -> None:
    """Text between blocks is a comment, unless it is the rest of a broken entry or an entry without its @."""
    line, text = part.line, part.raw
    before = blocks[-1] if blocks else None
    if before and before.kind == "failed":
        rest, listed = _before_a_list(text)
        _lengthen(before, rest, line)
        if listed:
            blocks.append(Block("stray", line + text[: -len(listed)].count("\n"), listed))
        return
    starts = [match.start() for match in _ENTRY_OUTSIDE.finditer(text)]
    head = text[: starts[0]] if starts else text
    if before and before.kind == "entry" and _FIELD_OUTSIDE.search(_ADDRESS.sub("", head)):
        before.kind = "failed"
        _lengthen(before, head, line)
        before.error = f"line {line}: the entry ends before this line; take away the brace too many."
    elif head.strip():
        blocks.append(Block("stray", line, head))
    line += head.count("\n")
    for start, end in zip(starts, [*starts, len(text)][1:], strict=True):
        error = f"line {line}: this looks like an entry, but does not begin like @article{{key,."
        blocks.append(Block("failed", line, text[start:end].strip(), error=error))
        line += text.count("\n", start, end)


def _lengthen(block: Block, text: str, line: int) -> None:
    """Add what turned out to belong to a block, with a line break where it begins on another line."""
    same_line = line == block.line + block.raw.count("\n")
    block.raw += (" " if same_line else "\n") + text.rstrip()


def _before_a_list(text: str) -> tuple[str, str]:
    """What is left of a broken entry, and the list of identifiers that begins after an empty line."""
    for gap in re.finditer(r"\n[ \t]*\n", text):
        listed = text[gap.end() :]
        if mentions.is_nothing_else(listed.lstrip("\n").split("\n")[0]):
            return text[: gap.start()], listed
    return text, ""


def _inherit(blocks: list[Block]) -> None:
    """A crossref gives its volume's fields to an entry that lacks them."""
    entries = [block for block in blocks if block.kind == "entry"]
    volumes = {block.key.lower(): block for block in reversed(entries)}
    own = {id(block): dict(block.fields) for block in entries}
    for block in entries:
        if not (wanted := block.fields.get("crossref")):
            continue
        volume = volumes.get(wanted.strip().lower())
        if volume is None or volume is block:
            block.notes.append(f"line {block.lines['crossref']}: crossref: no entry {wanted[:60]} here.")
            continue
        parent = own[id(volume)]
        inherited = {name: parent.get(name, "") for name in INHERITED}
        inherited["booktitle"] = parent.get("booktitle") or parent.get("title", "")
        for name, value in inherited.items():
            if value and name not in block.fields:
                block.fields[name], block.lines[name] = value, block.lines["crossref"]


def _report_same_keys(blocks: list[Block]) -> None:
    first: dict[str, int] = {}
    for block in blocks:
        if block.kind == "entry" and block.key:
            if block.key in first:
                same = f"also that of line {first[block.key]}"
                block.notes.append(f"line {block.line}: the key {block.key} is {same}.")
            first.setdefault(block.key, block.line)
