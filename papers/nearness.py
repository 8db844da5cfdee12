"""Nearly the same title by the same people: a suspicion in words, never a judgement.

The limits were chosen on one half of a labelled set; benchmarks/identity.py reports the other half.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from rapidfuzz import fuzz

from papers.facts import Facts
from papers.folding import fold

MOST_YEARS = 3  # from a preprint to its journal
# How alike titles must be, 0 to 100, by the share of the shorter list of authors that is in the other.
LIKE_BY_HALF, HALF = 94, 0.5
LIKE_BY_ALL, ALL = 76, 0.8
LIKE_PART = 94  # of the name before a colon, or what comes after it
MIN_WORDS = 4  # fewer say little: "A Survey" after the colon
_SHORT = {"llm": "large language model", "llms": "large language models", "lm": "language model"}
_SHORT |= {"lms": "language models", "moe": "mixture of experts", "moes": "mixtures of experts"}
_PART = re.compile(r"\W*(?:part|volume|vol)?\W*[\divx.]+\W*")  # after a colon: no sub-title but a number
_WORD = re.compile(r"[^\W_]+")
_COLON = re.compile(r"(?:[:?!]|\s[-–—]+)\s+")
# What tells the papers of a series apart: "LLaMA 2", "Part II", "QuIP#", "Outlier Suppression+".
_NUMBER = re.compile(r"(?<=[^\W\d_])[#+*]+|\d+(?:\.\d+)*|\b(?:ii|iii|iv|vi|vii|viii|ix)\b")


@dataclass(frozen=True)
class Near:
    """How alike two papers are, 0 to 100, and in which way, as a phrase for the reader."""

    score: float
    why: str


class Text(NamedTuple):
    """A title or a part of one: its words without case and accents, and its numbers."""

    words: str
    numbers: tuple[str, ...]


class Person(NamedTuple):
    """The words of an author's surname, of the first names, and of both."""

    surname: frozenset[str]
    given: frozenset[str]
    words: frozenset[str]


class Title(NamedTuple):
    """A title, the name before its colon, and what comes after it; without a colon the last two are empty."""

    whole: Text
    name: Text
    rest: Text


def near(one: Facts, other: Facts) -> Near | None:
    """In which way these two may be one paper; None when there is no reason to think so."""
    apart = abs((one.year or 0) - (other.year or 0))
    if apart > MOST_YEARS:
        return None
    shared = same_people(one.authors, other.authors)
    if shared < HALF:
        return None
    found = _alike(_title(one.title), _title(other.title), shared)
    years = f", {apart} years apart" if apart > 1 else ""
    return found and Near(found.score, f"{found.why}, {_said(shared)}{years}")


def surely_same_people(one: Facts, other: Facts) -> bool:
    """The same first author, and most of the longer list; two of a list that ends in "and others"."""
    people, others = _people(one.authors), _people(other.authors)
    if not people or not others:
        return False
    shared = _shared(people, others)
    whole = one.authors_complete and other.authors_complete
    enough = max(len(people), len(others)) // 2 + 1 if whole else 2
    return _same(people[0], others[0]) and shared >= enough


def two_arxiv_ids(one: Facts, other: Facts) -> bool:
    """Two different arXiv ids are two papers, whatever their titles."""
    ids, others = ({v for scheme, v in facts.identifiers if scheme == "arxiv"} for facts in (one, other))
    return bool(ids and others and not ids & others)


def same_people(authors: str, others: str) -> float:
    """The share of the shorter list of authors that is in the longer; half when one of them is empty."""
    people, theirs = _people(authors), _people(others)
    return _shared(people, theirs) / min(len(people), len(theirs)) if people and theirs else HALF


def _shared(people: list[Person], others: list[Person]) -> int:
    some, more = sorted((people, others), key=len)
    return sum(any(_same(one, other) for other in more) for one in some)


def _same(one: Person, other: Person) -> bool:
    """First and last names are often exchanged, and first names shortened or left out."""
    if one.words == other.words:
        return True
    if not (one.surname & other.words and other.surname & one.words):
        return False
    pairs = ((mine, its) for mine in one.given for its in other.given)
    return not (one.given and other.given) or any(m.startswith(i) or i.startswith(m) for m, i in pairs)


def _alike(one: Title, other: Title, shared: float) -> Near | None:
    whole = _ratio(one.whole, other.whole)
    short = min(one.whole.words.count(" "), other.whole.words.count(" ")) + 1 < MIN_WORDS
    found = []
    if whole >= (LIKE_BY_HALF if shared < ALL or short else LIKE_BY_ALL):
        found.append(Near(whole, "same title" if whole == 100 else f"titles alike to {whole:.0f} of 100"))
    if shared >= ALL and whole < LIKE_PART:
        found += _parts(one, other)
    return max(found, key=lambda near: near.score, default=None)


def _parts(one: Title, other: Title) -> Iterator[Near]:
    for part, its, why in _comparable(one, other):
        if (score := _ratio(part, its)) >= LIKE_PART:
            yield Near(score, why)


def _comparable(one: Title, other: Title) -> Iterator[tuple[Text, Text, str]]:
    if not one.rest.words:
        yield one.whole, other.name, "same title but for a sub-title"
        yield one.whole, other.rest, "same title but for the name before it"
    elif not other.rest.words:
        yield from _comparable(other, one)
    elif one.whole.numbers == other.whole.numbers:
        yield one.name, other.name, "same name before the colon"
        if min(one.rest.words.count(" "), other.rest.words.count(" ")) + 1 >= MIN_WORDS:
            yield one.rest, other.rest, "same words after the colon"


def _ratio(one: Text, other: Text) -> float:
    """Zero where their numbers differ: those are two papers of a series."""
    if not one.words or not other.words or one.numbers != other.numbers:
        return 0
    return fuzz.ratio(one.words, other.words)


@lru_cache(maxsize=50_000)
def _title(title: str) -> Title:
    folded = fold(title)
    name, *rest = _COLON.split(folded, maxsplit=1)
    if not rest or _PART.fullmatch(rest[0]):
        return Title(_text(folded), _text(""), _text(""))
    return Title(_text(folded), _text(name), _text(rest[0]))


def _text(folded: str) -> Text:
    words = (_SHORT.get(word, word) for word in _WORD.findall(folded))
    return Text(" ".join(words), tuple(sorted(_NUMBER.findall(folded))))


@lru_cache(maxsize=50_000)
def _people(authors: str) -> list[Person]:
    return [_person(author) for author in authors.split(" and ") if author]


def _person(author: str) -> Person:
    last, _, first = fold(author).partition(",")
    surname, given = _WORD.findall(last), _WORD.findall(first)
    longer = frozenset(word for word in surname if len(word) > 1)
    return Person(longer or frozenset(surname), frozenset(given), frozenset(surname + given))


def _said(shared: float) -> str:
    if shared == 1:
        return "same authors"
    return "most authors the same" if shared >= ALL else "some authors the same"
