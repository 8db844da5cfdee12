"""Facets: of many venues the most frequent are listed, as if all of them had been counted."""

from hypothesis import given
from hypothesis import strategies as some
from pyroaring import BitMap

from explorer.facets import MOST_VENUES, choices
from explorer.snapshot import NOTHING, Snapshot

PAPERS = range(60)
NAMES = [f"Venue {n}" for n in range(40)]


@given(
    venues=some.lists(some.sampled_from(NAMES), min_size=len(PAPERS), max_size=len(PAPERS)),
    left=some.sets(some.sampled_from(PAPERS)),
    chosen=some.sets(some.sampled_from(NAMES), max_size=3),
)
def test_the_most_frequent_venues_are_those_of_a_whole_count(venues, left, chosen):
    having = {name: BitMap(paper for paper, venue in enumerate(venues) if venue == name) for name in NAMES}
    having = {name: papers for name, papers in having.items() if papers}
    chosen &= set(having)
    index = Snapshot(None, **NOTHING | {"facets": {f"venue={name}": had for name, had in having.items()}})
    counts = {name: len(papers & BitMap(left)) for name, papers in having.items()}
    wanted = sorted(counts, key=lambda name: (name not in chosen, -counts[name], name))[:MOST_VENUES]
    found = choices(index, "venue", BitMap(left), chosen)
    assert [(line.value, line.count, line.chosen) for line in found] == [
        (name, counts[name], name in chosen) for name in wanted
    ]
