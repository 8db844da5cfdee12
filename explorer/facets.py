"""The facets of a search: which choices there are, which papers have each, and how many it would leave."""

import heapq
from dataclasses import dataclass
from functools import lru_cache

from pyroaring import BitMap

from papers.models import AXES, Technique
from reproduce import catalogue
from reproduce.models import Measurement

FACETS = ("axis", "technique", "year", "venue", "code", "evidence", "hardware")
EVIDENCE = {
    "claims": "has claims",
    "recipe": "has a recipe",
    "measured": "measured by us",
    **{code: label.lower() for code, label in Measurement.Verdict.choices if code != "invalid"},
    "untested": "claims, untested",
    "contributed": "contributed results",
}
MOST_VENUES = 12


@dataclass(frozen=True)
class Choice:
    """One line of a facet: how many papers it would leave if it were the only choice of its facet."""

    value: str
    label: str
    count: int
    chosen: bool
    group: str = ""


def choices(index, name, papers, chosen):
    """The lines of a facet; `papers` are those that all other filters leave. Of venues the most frequent."""
    if name == "venue":
        return _venues(index, papers, chosen)
    return [
        Choice(
            value, label, papers.intersection_cardinality(having(index, name, value)), value in chosen, group
        )
        for value, label, group in offered(index, name)
    ]


def _venues(index, papers, chosen):
    """What is chosen, then the most frequent. A venue can't have more of these papers than it has of all."""
    found, most = [], []
    for size, venue in index.by_size("venue"):
        if len(most) == MOST_VENUES and size < most[0]:
            break
        count = papers.intersection_cardinality(index.facet("venue", venue))
        found.append((count, venue))
        (heapq.heappushpop if len(most) == MOST_VENUES else heapq.heappush)(most, count)
    found += {
        (papers.intersection_cardinality(index.facet("venue", venue)), venue) for venue in chosen
    }.difference(found)
    found.sort(key=lambda each: (each[1] not in chosen, -each[0], each[1]))
    found = found[: max(MOST_VENUES, len(chosen))]
    return [Choice(venue, venue, count, venue in chosen) for count, venue in found]


def having(index, name, value):
    """The papers with this value of a facet."""
    if (name, value) == ("evidence", "recipe"):
        return _with_recipe(index.version, tuple(recipe.slug for recipe in catalogue.recipes()))
    return index.facet(name, value)


def offered(index, name):
    """(value, label, group) of each choice of a facet, whether or not any paper has it now."""
    if name == "technique":
        return [(each.slug, each.name, AXES[each.axis]) for each in techniques(index.version)]
    fixed = {"axis": AXES, "evidence": EVIDENCE, "code": {"yes": "has code"}}.get(name)
    return [(value, label, "") for value, label in (fixed or {v: v for v in index.values_of(name)}).items()]


@lru_cache(maxsize=2)
def techniques(version):
    """The taxonomy at that version of the index."""
    return list(Technique.objects.all())


@lru_cache(maxsize=2)
def _with_recipe(version, slugs):
    return BitMap([paper.pk for paper in catalogue.papers().values()])
