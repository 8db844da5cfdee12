"""Identifiers and links in plain text: reading lists, pasted addresses, one or many on a line."""

import re
from collections.abc import Iterator

from papers.identifiers import LABELS, LONGEST, Name, canonical, recognise

COMMENT = ("%", "#", "//")
_HOSTS = r"arxiv\.org|doi\.org|dx\.doi\.org|openreview\.net|aclanthology\.org"
_CANDIDATE = re.compile(
    rf"""https?://[^\s<>"{{}}|\\^`]+
    | (?<![\w./-])(?:www\.)?(?:{_HOSTS})/[^\s<>"{{}}|\\^`]+
    | (?<!\w)(?:openreview|acl):\s?[\w.-]+
    | (?<!\w)(?:doi:\s?)?10\.\d{{4,9}}/[^\s"{{}}<>|\\^`]+
    | (?<![\w./-])(?:arxiv:\s?)?
      (?:\d{{4}}\.\d{{4,5}}|[a-z-]{{2,20}}(?:\.[A-Z]{{2}})?/\d{{7}})(?:v\d+)?(?![\w/-]|\.\d)
    | (?<![\w./-])(?:\d{{4}}\.[a-z0-9_]+(?:-[a-z0-9_]+)+\.\d+|[A-Z]\d{{2}}-\d{{4}})(?![\w-]|\.\d)""",
    re.IGNORECASE | re.VERBOSE,
)
_BARE_ACL = re.compile(r"\d{4}\.[a-z0-9_]+(?:-[a-z0-9_]+)+\.\d+|[A-Z]\d{2}-\d{4}", re.IGNORECASE)
# What may stand about identifiers in a list: numbers of items, bullets, separators.
_ABOUT = re.compile(r"(?<!\S)\d{1,5}[.)](?!\S)|[\s.,:;!?•*·|()\[\]<>\"'-]+")


def in_line(line: str) -> list[Name]:
    """The papers that a line names, each once, in order; other web addresses as ("url", ...)."""
    return list(dict.fromkeys(name for name, _, _ in _found(line)))


def is_nothing_else(line: str) -> bool:
    """Whether a line consists of identifiers alone, with what lists put about them."""
    rest, end = [], 0
    for _, start, stop in (found := list(_found(line))):
        rest.append(line[end:start])
        end = stop
    return bool(found) and all(not _ABOUT.sub("", piece) for piece in [*rest, line[end:]])


def label(name: Name) -> str:
    """ "arXiv id 2205.14135" """
    return f"{LABELS[name[0]]} {name[1]}"


def _found(line: str) -> Iterator[tuple[Name, int, int]]:
    for candidate in _CANDIDATE.finditer(line):
        typed = _without_closing(candidate[0]) if len(candidate[0]) <= 2 * LONGEST else ""
        if name := _name(typed):
            yield name, candidate.start(), candidate.start() + len(typed)


def _without_closing(typed: str) -> str:
    """Sentences and Markdown end in signs that belong to no identifier; "(96)90017" keeps its bracket."""
    while typed:
        last = typed[-1]
        opener = {")": "(", "]": "["}.get(last)
        if last in ".,;:!?'*_" or (opener and typed.count(last) > typed.count(opener)):
            typed = typed[:-1]
        else:
            return typed
    return typed


def _name(typed: str) -> Name | None:
    if _BARE_ACL.fullmatch(typed):
        return _canonical("acl", typed)
    if re.match(rf"(?:www\.)?(?:{_HOSTS})/", typed, re.IGNORECASE):
        typed = f"https://{typed}"
    known = recognise(typed)
    if known is None and typed.lower().startswith("http"):
        return _canonical("url", typed)
    return known


def _canonical(scheme: str, typed: str) -> Name | None:
    try:
        return canonical(scheme, typed)
    except ValueError:
        return None
