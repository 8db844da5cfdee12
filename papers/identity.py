"""Which paper is it? One paper, all its names: identifiers first, then title, authors and year.

What is only nearly the same is a suspicion, for a moderator to judge.
"""

import re
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from papers.facts import Facts
from papers.folding import fold, title_key
from papers.identifiers import LABELS, Name, canonical, equivalents
from papers.identifiers import normalise as normalise  # part of what this module offers
from papers.identifiers import recognise as recognise
from papers.models import Identifier, Paper
from papers.nearness import surely_same_people, two_arxiv_ids
from papers.neighbours import Neighbours, candidates

Reference = TypeVar("Reference")

_STOP_WORDS = frozenset(
    "a an the on of for in to with from and or is are was be how what when why do does can "  # noqa: SIM905
    "towards toward at by via as its it your not".split()
)
_KEY_LONGEST = 80


@dataclass(frozen=True)
class Match:
    """The paper that is already here, and by what it was recognised, as a phrase for the reader."""

    paper: Paper
    why: str


def resolve(scheme: str, value: str) -> Paper | None:
    """The paper that an identifier names, in any spelling; None when there is none."""
    try:
        names = equivalents(*canonical(scheme, value))
    except ValueError:
        return None
    schemes, values = zip(*names, strict=True)
    found = Identifier.objects.filter(scheme__in=schemes, value__in=values).select_related("paper")
    return next((item.paper for item in found if (item.scheme, item.value) in names), None)


class Index(Generic[Reference]):
    """The rule by which two references are one paper, over anything that has Facts."""

    def __init__(self) -> None:
        self._named: dict[Name, Reference] = {}
        self._titled: dict[tuple[str, str], list[tuple[Facts, Reference]]] = defaultdict(list)
        self.neighbours: Neighbours[Reference] = Neighbours()

    def add(self, facts: Facts, reference: Reference) -> None:
        for name in names_of(facts):
            self._named.setdefault(name, reference)
        self._titled[_title_and_author(facts)].append((facts, reference))
        self.neighbours.add(facts, reference)

    def named(self, text: str) -> Reference | None:
        """The first reference that goes by an identifier, in any spelling."""
        name = recognise(text)
        found = (self._named[other] for other in equivalents(*name) if other in self._named) if name else ()
        return next(iter(found), None)

    def find(self, facts: Facts) -> tuple[Reference, str] | None:
        """The first reference that is the same paper, and why."""
        for scheme, value in names_of(facts):
            if (scheme, value) in self._named:
                return self._named[scheme, value], f"same {LABELS[scheme]}, {value}"
        for other, reference in self._titled.get(_title_and_author(facts), ()):
            if _one_paper(facts, other):
                apart = "" if other.year == facts.year else ", a year apart"
                return reference, f"same title and first author{apart}"
        return None

    def suspect(self, facts: Facts) -> tuple[Reference, str] | None:
        """The reference that may be the same paper, when find() knows none, and why."""
        return self.neighbours.find(facts)


def names_of(facts: Facts) -> list[Name]:
    return [name for scheme, value in facts.identifiers for name in equivalents(scheme, value)]


def match(facts: Facts) -> Match | None:
    """The stored paper that these facts describe."""
    return match_all([facts])[0]


def match_all(many: Sequence[Facts]) -> list[Match | None]:
    """match() for each, in two queries for all of them together."""
    index = _surely_around(many)
    return [Match(*found) if (found := index.find(facts)) else None for facts in many]


def suspect_all(many: Sequence[Facts]) -> list[Match | None]:
    """For each the stored paper that it may be, though nothing proves it; in six queries for all of them."""
    neighbours = _add_neighbours(Neighbours(), many)
    found = [neighbours.find(facts) for facts in many]
    papers = Paper.objects.in_full().defer("search").in_bulk([paper.pk for paper, _ in filter(None, found)])
    return [Match(papers[one[0].pk], one[1]) if one else None for one in found]


def index_around(many: Sequence[Facts]) -> Index[Paper]:
    """An index of the stored papers that could be one of these, or nearly."""
    index = _surely_around(many)
    _add_neighbours(index.neighbours, many)
    return index


def _add_neighbours(neighbours: Neighbours[Paper], many: Sequence[Facts]) -> Neighbours[Paper]:
    """Papers nearly like these, by what comparing needs; reading them whole would take most of the time."""
    found, arxiv = candidates(many), defaultdict(list)
    names = Identifier.objects.filter(scheme="arxiv", paper__in=found).order_by()
    for pk, scheme, value in names.values_list("paper_id", "scheme", "value"):
        arxiv[pk].append([scheme, value])
    papers = Paper.objects.filter(pk__in=found).order_by("pk")
    for pk, title, authors, year in papers.values_list("pk", "title", "authors", "year"):
        facts = Facts(title=title, authors=authors, year=year, identifiers=arxiv[pk])
        neighbours.add(facts, Paper(pk=pk, title=title))
    return neighbours


def _surely_around(many: Iterable[Facts]) -> Index[Paper]:
    values = {value for facts in many for _, value in names_of(facts)}
    titles = {title_key(facts.title) for facts in many}
    named = Identifier.objects.filter(value__in=values).values("paper")
    papers = Paper.objects.filter(pk__in=named) | Paper.objects.filter(title_key__in=titles)
    index: Index[Paper] = Index()
    for paper in papers.order_by("pk").prefetch_related("identifiers", "techniques"):
        index.add(Facts.of(paper), paper)
    return index


def surname_key(authors: str) -> str:
    """The last word of the first author's surname, folded: "van der Maaten" and "Maaten" agree."""
    surname = authors.split(" and ")[0].split(",")[0]
    words = [word for part in surname.split() if (word := _letters(part))]
    # "OpenAI Dota Team" and "Debnath" have no first name: all of it is the name.
    return words[-1] if words else ""


def make_key(facts: Facts, taken: Container[str]) -> str:
    """A free key: surname, year, first significant word of the title, and as many further words as it takes.

    The key that was typed is kept when it is free and begins like that.
    """
    stem = key_stem(facts)
    typed = re.fullmatch(rf"{stem}[a-z0-9]+", facts.key) and len(facts.key) <= _KEY_LONGEST
    if typed and facts.key not in taken:
        return facts.key
    return next(key for key in _keys(stem, facts.title) if key not in taken)


def key_stem(facts: Facts) -> str:
    surname = facts.authors.split(" and ")[0].split(",")[0]
    return f"{_ascii(surname)[:30] or 'anon'}{facts.year}"


def _keys(stem: str, title: str) -> Iterator[str]:
    words = [word for part in title.split() if (word := _ascii(part))]
    words = [word for word in words if word not in _STOP_WORDS] or words or ["paper"]
    longest = ""
    for count in range(1, len(words) + 1):
        longest = (stem + "".join(words[:count]))[: _KEY_LONGEST - 6]
        yield longest
    number = 2
    while True:
        yield f"{longest}{number}"
        number += 1


def _ascii(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", fold(text))


def _letters(text: str) -> str:
    return "".join(c for c in fold(text) if c.isalpha())


def _title_and_author(facts: Facts) -> tuple[str, str]:
    return title_key(facts.title), surname_key(facts.authors)


def _one_paper(facts: Facts, other: Facts) -> bool:
    """Given the same title and surname of the first author."""
    known_apart = not _years_agree(facts, other) or two_arxiv_ids(facts, other)
    return not known_apart and surely_same_people(facts, other)


def _years_agree(one: Facts, other: Facts) -> bool:
    return one.year is not None and other.year is not None and abs(one.year - other.year) <= 1
