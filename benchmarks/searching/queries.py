"""Mixed searches, drawn by a seed from what is there: addresses for the site, data for the baselines."""

import random
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from urllib.parse import urlencode

from searching.words import STOP_WORDS

PAGE_SIZE = 25
SAMPLE, SUBJECTS = 5_000, 600
STOPS = {*STOP_WORDS.tolist(), "how", "via", "using", "about", "over", "you", "your", "all", "what", "does"}
SORTS = ("relevance", "newest", "measured")  # not by gain, which the baselines know nothing of
EVIDENCE = ("claims", "measured", "reproduced", "not_reproduced", "same_direction", "recipe")


@dataclass(frozen=True)
class Query:
    kind: str
    words: tuple[str, ...] = ()
    phrase: str = ""
    prefix: str = ""
    author: str = ""
    facets: dict[str, tuple[str, ...]] = field(default_factory=dict)  # axis, technique, evidence
    years: tuple[int, int] | None = None
    sort: str = ""
    page: int = 1
    form: str = ""

    @property
    def text(self):
        quoted = [f'"{self.phrase}"'] if self.phrase else []
        author = [f"author:{self.author}"] if self.author else []
        return " ".join([*self.words, *quoted, *author, *([f"{self.prefix}*"] if self.prefix else [])])

    @property
    def path(self):
        pairs = [("q", self.text)] if self.text else []
        pairs += [(name, value) for name, values in self.facets.items() for value in values]
        pairs += [("year", "..".join(map(str, self.years)))] if self.years else []
        pairs += [("sort", self.sort)] if self.sort else []
        pairs += [("page", self.page)] if self.page > 1 else []
        return f"/papers{self.form and '.' + self.form}{'?' if pairs else ''}{urlencode(pairs)}"

    @property
    def order(self):
        return self.sort or ("relevance" if self.text else "newest")


class Mix:
    """Draws queries of every kind around papers that were sampled once."""

    def __init__(self, connection):
        self.connection, chosen = connection, random.Random(11)
        self.total, last = self._rows("SELECT count(*), max(id) FROM papers_paper")[0]
        ids = [chosen.randint(1, last) for _ in range(2 * (SAMPLE + SUBJECTS))]
        columns = "p.id, title, authors, abstract, year, array_agg(t.slug), array_agg(DISTINCT axis)"
        sampled = self._rows(
            f"SELECT {columns} FROM papers_paper p JOIN papers_paper_techniques pt ON pt.paper_id = p.id "
            "JOIN papers_technique t ON t.id = pt.technique_id WHERE p.id = ANY(%s) GROUP BY p.id ORDER BY 1",
            ids,
        )
        chosen.shuffle(sampled)
        self.subjects, counted = sampled[:SUBJECTS], sampled[SUBJECTS : SUBJECTS + SAMPLE] or sampled
        self.frequency = Counter(word for row in counted for word in set(self._words(row[1] + " " + row[3])))
        self.common = [word for word, _ in self.frequency.most_common(60)]
        self.techniques = [slug for (slug,) in self._rows("SELECT slug FROM papers_technique ORDER BY slug")]
        self.axes = self._rows(
            "SELECT axis, count(DISTINCT paper_id) FROM papers_technique t JOIN papers_paper_techniques pt "
            "ON pt.technique_id = t.id GROUP BY axis ORDER BY 2 DESC"
        )

    def draw(self, count, seed):
        """So many different queries in random order, as many of each kind as far as there are so many."""
        chosen, found = random.Random(seed), {}
        kinds = list(KINDS.items())
        for turn in range(20 * count):
            kind, make = kinds[turn % len(kinds)]
            query = replace(make(self, chosen), kind=kind)
            found.setdefault(query.path, query)
            if len(found) == count:
                break
        drawn = list(found.values())
        chosen.shuffle(drawn)
        return drawn

    def exports(self, seed):
        """Small ones, then everything in each format: only their first bytes are waited for."""
        chosen = random.Random(seed)
        some = [replace(self.three_facets(chosen), form=form) for form in ("bib", "csv", "json")]
        some += [replace(self.one_facet(chosen), form=form) for form in ("bib", "csv", "json")]
        return [replace(each, kind="export, filtered") for each in some], Query("export of all", form="csv")

    def none(self, chosen):
        return Query("", page=chosen.randint(1, min(20, self._pages(self.total))))

    def one_facet(self, chosen):
        row, facet = self._subject(chosen), chosen.choice(("axis", "technique", "evidence", "year"))
        if facet == "year":
            first = row[4] - chosen.randrange(3)
            return Query("", years=(first, row[4]))
        choices = {"axis": row[6], "technique": row[5], "evidence": EVIDENCE}[facet]
        second = {"axis": row[6], "technique": self.techniques, "evidence": EVIDENCE}[facet]
        return Query("", facets={facet: tuple(sorted({chosen.choice(choices), chosen.choice(second)}))})

    def three_facets(self, chosen):
        """Three of four, around a paper that has them; evidence of any kind, or two techniques."""
        row = self._subject(chosen)
        facets = {"technique": tuple({chosen.choice(row[5]), chosen.choice(self.techniques)})}
        facets |= chosen.choice(({"axis": tuple(row[6][:2])}, {"evidence": (chosen.choice(EVIDENCE),)}))
        return Query("", facets=facets, years=(row[4] - chosen.randrange(6), row[4] + chosen.randrange(3)))

    def rare_word(self, chosen):
        words = self._words(self._subject(chosen)[1])
        return Query("", words=(min(words, key=lambda word: (self.frequency[word], word)),))

    def common_word(self, chosen):
        return Query("", words=(chosen.choice(self.common),))

    def two_common_words(self, chosen):
        return Query("", words=tuple(chosen.sample(self.common, 2)))

    def common_with_facets(self, chosen):
        base = chosen.choice((self.one_facet, self.three_facets))(chosen)
        return replace(base, words=(chosen.choice(self.common),))

    def phrase(self, chosen):
        """Two or three words in a row of a title, the first of them no stop word."""
        words = re.findall(r"[A-Za-z]+", self._subject(chosen)[1])
        start = next((n for n in range(len(words) - 2) if words[n].lower() not in STOPS), 0)
        return Query("", phrase=" ".join(words[start : start + chosen.choice((2, 3))]).lower())

    def prefix_while_typing(self, chosen):
        """The beginning of a word of a title; sometimes after a whole common word."""
        word = chosen.choice(self._words(self._subject(chosen)[1]))
        before = (chosen.choice(self.common),) if chosen.random() < 0.3 else ()
        return Query("", words=before, prefix=word[: chosen.randint(3, max(3, len(word) - 1))])

    def author(self, chosen):
        name = self._subject(chosen)[2].split(" and ")[0].split(",")[0]
        return Query("", author=re.sub(r"\W", "", name.split()[-1]) if name else "smith")

    def deep_page(self, chosen):
        if chosen.random() < 0.5:
            return Query("", page=self._deep(self.total, chosen), sort=chosen.choice(("", "measured")))
        axis, count = chosen.choice(self.axes)
        return Query("", facets={"axis": (axis,)}, page=self._deep(count, chosen))

    def sort(self, name):
        def make(mix, chosen):
            base = chosen.choice((mix.none, mix.one_facet, mix.common_word, mix.common_with_facets))(chosen)
            return replace(base, sort=name)

        return make

    def _subject(self, chosen):
        return chosen.choice(self.subjects)

    def _words(self, text):
        found = [word for word in re.findall(r"[a-z]{4,}", text.lower()) if word not in STOPS]
        return found or ["attention"]

    def _pages(self, count):
        return max(1, -(-count // PAGE_SIZE))

    def _deep(self, count, chosen):
        return max(2, int(self._pages(count) * chosen.uniform(0.2, 0.9)))

    def _rows(self, statement, *values):
        return self.connection.execute(statement, values).fetchall()


KINDS = {
    "none": Mix.none,
    "one facet": Mix.one_facet,
    "three facets": Mix.three_facets,
    "rare word": Mix.rare_word,
    "common word": Mix.common_word,
    "two common words": Mix.two_common_words,
    "common + facets": Mix.common_with_facets,
    "phrase": Mix.phrase,
    "prefix while typing": Mix.prefix_while_typing,
    "author:": Mix.author,
    "deep page": Mix.deep_page,
    **{f"sort: {name}": Mix.sort(None, name) for name in SORTS},
}
