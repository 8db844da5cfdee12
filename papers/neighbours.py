"""Possible duplicates: found by what near-duplicates share, then judged by nearness.py; a moderator decides.

Two papers are compared when their titles begin or end alike, or the first author is the same in near years.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

from django.db import connection

from papers.facts import Facts
from papers.folding import title_key
from papers.nearness import MOST_YEARS, Near, near, two_arxiv_ids

Reference = TypeVar("Reference")

LETTERS, NAME_LETTERS = 20, 80  # as the indexes of Paper have them
MOST_EACH = 50  # compared by each of the three, for many titles begin "A Survey of Large Language Models"
_CANDIDATES = f"""
SELECT here.id FROM unnest(%(heads)s::text[]) AS head, LATERAL (
    SELECT id FROM papers_paper WHERE left(title_key, {LETTERS}) = head LIMIT {MOST_EACH}) AS here
UNION SELECT here.id FROM unnest(%(tails)s::text[]) AS tail, LATERAL (
    SELECT id FROM papers_paper WHERE right(title_key, {LETTERS}) = tail LIMIT {MOST_EACH}) AS here
UNION SELECT here.id FROM unnest(%(authors)s::text[], %(years)s::int[]) AS sent(author, year), LATERAL (
    SELECT id FROM papers_paper WHERE left(split_part(authors, ' and ', 1), {NAME_LETTERS}) = sent.author
    AND papers_paper.year BETWEEN sent.year - {MOST_YEARS} AND sent.year + {MOST_YEARS}
    LIMIT {MOST_EACH}) AS here
"""


class Neighbours(Generic[Reference]):
    """References by what near-duplicates share, over anything that has Facts."""

    def __init__(self) -> None:
        self._shelves: dict[tuple[str, str], list[tuple[Facts, Reference]]] = defaultdict(list)

    def add(self, facts: Facts, reference: Reference) -> None:
        for label in _labels(facts):
            if len(shelf := self._shelves[label]) < MOST_EACH:
                shelf.append((facts, reference))

    def find(self, facts: Facts) -> tuple[Reference, str] | None:
        """The reference most like these facts, if any is like them, and why it may be the same paper."""
        best = max(self._near(facts), key=lambda found: found[0].score, default=None)
        return best and (best[1], best[0].why)

    def _near(self, facts: Facts) -> Iterator[tuple[Near, Reference]]:
        seen = set()
        for label in _labels(facts):
            for other, reference in self._shelves.get(label, ()):
                if id(other) in seen or two_arxiv_ids(facts, other):
                    continue
                seen.add(id(other))
                if found := near(facts, other):
                    yield found, reference


def candidates(many: Sequence[Facts]) -> list[int]:
    """The stored papers with which each of these is to be compared."""
    keys = [key for facts in many if (key := title_key(facts.title))]
    firsts = sorted({(_first_author(facts), facts.year) for facts in many if facts.authors and facts.year})
    sent = {
        "heads": sorted({key[:LETTERS] for key in keys}),
        "tails": sorted({key[-LETTERS:] for key in keys}),
        "authors": [author for author, _ in firsts],
        "years": [year for _, year in firsts],
    }
    with connection.cursor() as cursor:
        cursor.execute(_CANDIDATES, sent)
        return [pk for (pk,) in cursor.fetchall()]


def _labels(facts: Facts) -> list[tuple[str, str]]:
    key = title_key(facts.title)
    labels = ("begins", key[:LETTERS]), ("ends", key[-LETTERS:]), ("author", _first_author(facts))
    return [(how, label) for how, label in labels if label and key]


def _first_author(facts: Facts) -> str:
    return facts.authors.split(" and ")[0][:NAME_LETTERS]
