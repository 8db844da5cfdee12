"""What all readers of answers share: texts are cleaned and bounded, an unexpected form is told."""

import html
import json
import re
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any, TypeVar

from papers import latex, names
from papers.facts import Facts
from papers.identifiers import canonical
from papers.reference import LONGEST

Read = TypeVar("Read")

_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,500}>")
_AND = re.compile(r"\s+and\s+", re.IGNORECASE)
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
MOST_AUTHORS = 3000
MOST_BYTES = 8 * 2**20


class Unreadable(ValueError):
    """The answer is not in the form that the source documents; the message is a sentence."""


def forgiving(read: Callable[..., Read]) -> Callable[..., Read]:
    """Whatever shape an answer has, reading it ends in facts or in Unreadable."""

    @wraps(read)
    def guarded(*given: Any) -> Read:
        try:
            return read(*given)
        except Unreadable:
            raise
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            kind = type(error).__name__
            raise Unreadable(f"Its answer is not in the form that it documents ({kind}).") from error

    return guarded


def json_object(body: bytes) -> dict[str, Any]:
    found = json.loads(body)
    if not isinstance(found, dict):
        raise Unreadable("Its answer is not a JSON object.")
    return found


def text(value: Any, field: str = "") -> str:
    """Plain text without markup, no longer than that field may be."""
    if not isinstance(value, str):
        return ""
    plain = html.unescape(_TAG.sub("", value))
    return latex.squeeze(_NO_TEXT.sub("", plain))[: LONGEST.get(field, 500)].strip()


def author(family: Any, given: Any = "", suffix: Any = "") -> str:
    """ "Last, First"; a group has no first name, and no comma."""
    family, given, suffix = (
        " ".join(_AND.sub(" & ", re.sub(r"[,;]", " ", text(part))).split())
        for part in (family, given, suffix)
    )
    return ", ".join(part for part in ((family, suffix, given) if given else (family,)) if part)


def spoken_author(name: Any) -> str:
    """ "Ludwig van Sum" as "van Sum, Ludwig", by BibTeX's rule."""
    cleaned = _AND.sub(" & ", text(name))
    try:
        return names.read(latex.escape(cleaned))[0] if cleaned else ""
    except ValueError:
        return author(cleaned)


def joined(authors: Sequence[str]) -> tuple[str, bool]:
    """The list as one text, and whether it is all of them."""
    kept = [name for name in authors[:MOST_AUTHORS] if name]
    while len(whole := " and ".join(kept)) > LONGEST["author"]:
        kept.pop()
    return whole, len(kept) == len(authors)


def identifiers(found: Iterable[tuple[str, Any]]) -> list[list[str]]:
    """Those of the names that can be read, in the one spelling that is stored."""
    kept = set()
    for scheme, value in found:
        try:
            kept.add(canonical(scheme, value))
        except (AttributeError, TypeError, ValueError):
            continue
    return sorted([scheme, value] for scheme, value in kept)


def sound(facts: Facts) -> Facts:
    """The facts, if they are enough for a paper; raises Unreadable."""
    year = facts.year is not None and 1900 <= facts.year <= 2100
    wanted = (("a title", facts.title), ("authors", facts.authors), ("a year", year))
    if lacks := [name for name, given in wanted if not given]:
        raise Unreadable(f"Its record lacks {' and '.join(lacks)}.")
    if facts.month is not None and not 1 <= facts.month <= 12:
        facts.month = None
    return facts
