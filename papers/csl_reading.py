"""CSL-JSON in: each item becomes a block with BibTeX's names of types and fields, or says what is wrong."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from papers.bibtex import Block
from papers.csl import DETAILS, TYPES

KINDS = {csl: kind for kind, csl in reversed(TYPES.items())} | {
    **{"article-magazine": "article", "article-newspaper": "article", "thesis": "phdthesis"},
}
FIELDS = {
    **{"title": "title", "DOI": "doi", "URL": "url", "abstract": "abstract", "keyword": "keywords"},
    **{"note": "note", "chapter-number": "chapter", "publisher": "publisher"},
    **{csl: name for name, csl in reversed(DETAILS.items())},
}
# An item, or an array of items, perhaps within an object as Zotero's and pandoc's are.
START = re.compile(r'^[ \t]*(?:\[\s*)?\{\s*(?:"|\})', re.MULTILINE)
_LISTS = ("items", "references")
_SPACE = re.compile(r"[\s,\[\]]*")
# After a broken item: the next object that is no name and no date within it.
_INNER = "family|given|literal|suffix|(?:non-)?dropping-particle|comma-suffix|date-parts|raw|season|circa"
_NEXT = re.compile(rf'[,\[\n]\s*(?=\{{\s*"(?!(?:{_INNER})"))')
_UNSHOWN = {"id", "type", "author", "editor", "issued", "container-title", "genre", "number", "language"}
_UNSHOWN |= {"source", "accessed", "event", "event-title", "citation-key"}


class Item(dict):
    """A JSON object whose first values were kept, with the names that came again."""

    again: tuple[str, ...] = ()


def _object(pairs: list[tuple[str, Any]]) -> Item:
    item = Item(reversed(pairs))
    if len(item) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        item.again = tuple(name for name, count in counts.items() if count > 1)
    return item


_DECODER = json.JSONDecoder(object_pairs_hook=_object, strict=False)


def blocks(text: str, start: int, line: int) -> Iterator[tuple[Block, int]]:
    """Each item from `start` on, which is on `line`, with where it ends. Stops at what is no JSON."""
    position, counted = start, start
    while text[(position := _SPACE.match(text, position).end()) : position + 1] == "{":
        line, counted = line + text.count("\n", counted, position), position
        try:
            item, end = _DECODER.raw_decode(text, position)
        except (ValueError, RecursionError) as error:
            end = _after_broken(text, position)
            yield _failed(error, text, position, end, line), end
        else:
            for part in _items(item):
                yield _block(part, text[position:end], line), end
        position = end


def _items(item: Item) -> list[Any]:
    listed = next((item[name] for name in _LISTS if isinstance(item.get(name), list)), None)
    return [item] if listed is None or "title" in item else listed


def _after_broken(text: str, position: int) -> int:
    """Where the next item begins, or else the end."""
    following = _NEXT.search(text, position + 1)
    return following.start() + 1 if following else len(text)


def _failed(error: Exception, text: str, position: int, end: int, line: int) -> Block:
    at = getattr(error, "lineno", line)
    why = getattr(error, "msg", "it is nested too deeply, or a number is too long")
    sentence = f"line {at}: this is no JSON from here on ({why}); look for a missing comma, quote or brace."
    return Block("failed", line, text[position:end].strip(), error=sentence, format="csl")


def _block(item: Any, raw: str, line: int) -> Block:
    if not isinstance(item, Item):
        error = f"line {line}: an item must be an object, {{...}}, with a type and a title."
        return Block("failed", line, raw, error=error, format="csl")
    kind = KINDS.get(_text(item.get("type")), "misc")
    block = Block("entry", line, raw, kind, _text(item.get("id") or item.get("citation-key")), format="csl")
    block.notes += [f"line {line}: {name} is given twice; the first is kept." for name in item.again]
    for name, value in item.items():
        if name not in _UNSHOWN:
            _set(block, FIELDS.get(name, name.lower()), value)
    for role in ("author", "editor"):
        _set(block, role, _people(item.get(role)))
    _date(block, item)
    _venue(block, item)
    _number(block, item)
    return block


def _set(block: Block, name: str, value: Any) -> None:
    if text := _text(value):
        block.fields[name], block.lines[name] = text, block.line


def _text(value: Any) -> str:
    """Escapes such as \\ud800 make half characters, which nothing could store."""
    if isinstance(value, list):
        return ", ".join(filter(None, map(_text, value)))
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return ""
    return str(value).encode("utf-8", "replace").decode().replace("\0", " ").strip()


def _people(listed: Any) -> str:
    """As they are stored: "van der Sum, IV, Ludwig and The Sums Group"."""
    people = listed if isinstance(listed, list) else [listed]
    return " and ".join(filter(None, map(_person, people)))


def _person(person: Any) -> str:
    if not isinstance(person, dict):
        return _part(person)
    parts = {name: _part(value) for name, value in person.items()}
    if literal := parts.get("literal"):
        return literal
    particles = (parts.get(f"{which}-particle", "") for which in ("dropping", "non-dropping"))
    family = " ".join(filter(None, [*particles, parts.get("family", "")]))
    return ", ".join(filter(None, [family, parts.get("suffix", ""), parts.get("given", "")]))


def _part(value: Any) -> str:
    words = _text(value).replace(",", " ").split()
    return " ".join("&" if word.lower() == "and" else word for word in words)


def _date(block: Block, item: Item) -> None:
    issued = item.get("issued")
    if isinstance(issued, dict):
        parts = issued.get("date-parts")
        first = parts[0] if isinstance(parts, list) and parts else None
        listed = first if isinstance(first, list) else [first]
        _set(block, "year", listed[0] if listed else None)
        _set(block, "month", listed[1] if len(listed) > 1 else None)
        issued = issued.get("raw") or issued.get("literal")
    if "year" not in block.fields:
        _set(block, "date", issued)


def _venue(block: Block, item: Item) -> None:
    """A thesis, a report or a preprint has its publisher for its venue."""
    container = _text(item.get("container-title"))
    preprint = item.get("type") == "article" and not container
    if preprint or block.type in {"phdthesis", "techreport"}:
        _set(block, "institution", block.fields.pop("publisher", ""))
    _set(block, "journal" if block.type == "article" else "booktitle", container)
    if "booktitle" not in block.fields and "journal" not in block.fields:
        _set(block, "eventtitle", item.get("event-title") or item.get("event"))


def _number(block: Block, item: Item) -> None:
    """A preprint's is its arXiv id."""
    number = _text(item.get("number"))
    if number.lower().startswith("arxiv:"):
        _set(block, "arxiv", number)
    elif "number" not in block.fields:
        _set(block, "number", number)
