"""All papers as bitmaps of their ids: what a web process knows, at one moment, never changed in place.

A stored base of postings (PostgreSQL), and over it the papers that were touched since, words and all.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property, lru_cache

from pyroaring import BitMap

from explorer.prepared import Prepared

LAST = "\U0010ffff"


@dataclass(frozen=True)
class Snapshot:
    """`fresh` are the papers whose words are in `words` and no longer as the base's postings say."""

    base: int | None
    version: int = 0  # rises with every change
    epoch: object = field(default_factory=object)  # another one for each index that was read from the start
    touched_at: Mapping[int, int] = None  # the version at which a paper was last read again, since then
    changed: datetime | None = None
    papers: BitMap = BitMap()  # noqa: RUF009 - never changed in place
    facets: Mapping[str, BitMap] = None
    fresh: BitMap = BitMap()  # noqa: RUF009
    words: Mapping[str, BitMap] = None
    documents: Mapping[int, object] = None  # of fresh papers
    gains: Mapping[int, float] = None
    values: Mapping[str, Mapping[int, list[float]]] = None

    def with_documents(self, touched, documents, **changes):
        """Another snapshot, in which these papers are as `documents` says; one without a document is gone."""
        touched = BitMap(touched)
        words = dict(self.words)
        _take_out(words, touched, {word for each in touched for word in self._words_of(each)})
        facets = dict(self.facets)
        _take_out(facets, touched, [key for key, bitmap in facets.items() if bitmap.intersect(touched)])
        known = {number: each for number, each in self.documents.items() if number not in touched}
        found = {each.id: each for each in documents}
        _put_in(facets, ((key, each.id) for each in found.values() for key in each.facets))
        _put_in(words, ((key, each.id) for each in found.values() for key in each.words))
        numbers = {number: each.evidence for number, each in found.items()}
        return replace(
            self,
            papers=(self.papers - touched) | BitMap(found),
            fresh=self.fresh | touched,
            facets=facets,
            words=words,
            documents=known | found,
            touched_at={**self.touched_at, **dict.fromkeys(touched, changes.get("version", self.version))},
            **self.numbers(touched, numbers),
            **changes,
        )

    def facet(self, name, value):
        return self.facets.get(f"{name}={value}", EMPTY)

    def values_of(self, name):
        """The values of a facet that at least one paper has, in their order."""
        return self.facet_values.get(name, [])

    def word(self, key):
        """The papers with this word: "w/quantiz"."""
        return (_posting(self.base, key) - self.fresh) | self.words.get(key, EMPTY)

    def beginning(self, key):
        """The papers with any word that begins so."""
        keys = self.word_keys
        here = [self.words[each] for each in keys[bisect_left(keys, key) : bisect_left(keys, key + LAST)]]
        return (_begun(self.base, key) - self.fresh) | BitMap.union(EMPTY, *here)

    def by_size(self, name):
        """(number of papers, value) of each value of a facet, the most papers first."""
        if name not in self.sized:
            sizes = ((len(self.facet(name, value)), value) for value in self.values_of(name))
            self.sized[name] = sorted(sizes, key=lambda each: (-each[0], each[1]))
        return self.sized[name]

    @cached_property
    def sized(self):
        return {}

    @cached_property
    def facet_values(self):
        """{facet: its values that at least one paper has, in their order}."""
        found = defaultdict(list)
        for key in sorted(self.facets):
            name, _, value = key.partition("=")
            found[name].append(value)
        return found

    @cached_property
    def word_keys(self):
        return sorted(self.words)

    @cached_property
    def months(self):
        """{year: its months with papers}, newest first."""
        found = defaultdict(list)
        for month in reversed(self.values_of("month")):
            found[month[:4]].append(month)
        return found

    def _words_of(self, number):
        return self.documents[number].words if number in self.documents else ()

    def numbers(self, touched, evidence):
        """The measured numbers as fields of a snapshot; those of `touched` are replaced by {id: Evidence}."""
        gains = {number: gain for number, gain in self.gains.items() if number not in touched}
        gains |= {number: max(each.gains) for number, each in evidence.items() if each.gains}
        values = {
            name: {number: of for number, of in known.items() if number not in touched}
            for name, known in self.values.items()
        }
        for number, each in evidence.items():
            for name, of in each.values.items():
                values.setdefault(name, {})[number] = of
        return {"gains": gains, "values": values}


EMPTY = BitMap()
_OF_BASE = "SELECT bitmap FROM explorer_posting WHERE base_id = $1 AND "
POSTING = Prepared("posting", "bigint, text", f"{_OF_BASE} key = $2")
POSTINGS = Prepared("postings", "bigint, text, text", f"{_OF_BASE} key >= $2 AND key < $3")
NOTHING = {name: {} for name in ("touched_at", "facets", "words", "documents", "gains", "values")}


def _take_out(bitmaps, papers, keys):
    for key in keys:
        if left := bitmaps[key] - papers:
            bitmaps[key] = left
        else:
            del bitmaps[key]


def _put_in(bitmaps, pairs):
    added = defaultdict(list)
    for key, number in pairs:
        added[key].append(number)
    for key, numbers in added.items():
        bitmaps[key] = bitmaps.get(key, EMPTY) | BitMap(numbers)


@lru_cache(maxsize=256)
def _posting(base, key):
    return _united(POSTING, base, key)


@lru_cache(maxsize=64)
def _begun(base, key):
    return _united(POSTINGS, base, key, key + LAST)


def _united(postings, base, *keys):
    if base is None:
        return EMPTY
    return BitMap.union(EMPTY, *(BitMap.deserialize(bytes(row[0])) for row in postings.rows(base, *keys)))
