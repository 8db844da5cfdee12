"""Sets of papers, in words."""

import re
from collections.abc import Collection
from functools import reduce
from operator import and_, or_
from typing import Self

from django.contrib.postgres.search import SearchQuery, SearchQueryCombinable, SearchRank
from django.db import models
from django.db.models import F, Func
from django.db.models.sql.compiler import SQLCompiler


class PaperQuerySet(models.QuerySet):
    def on_axes(self, axes: Collection[str]) -> Self:
        """Papers with a technique on any of these axes."""
        return self._tagged(technique__axis__in=axes)

    def using(self, techniques: Collection[str]) -> Self:
        """Papers tagged with any of these techniques, named by slug."""
        return self._tagged(technique__slug__in=techniques)

    def between(self, first: int | None, last: int | None) -> Self:
        """Papers of these years, both included; None leaves that end open."""
        papers = self if first is None else self.filter(year__gte=first)
        return papers if last is None else papers.filter(year__lte=last)

    def matching(self, text: str) -> Self:
        """Papers that match a typed query in title, authors or abstract; each gets its `rank`."""
        query = words(text)
        return self.filter(search=query).annotate(rank=SearchRank(F("search"), query))

    def newest(self) -> Self:
        """By date, then by key: an order that survives export and import."""
        return self.order_by("-year", F("month").desc(nulls_last=True), "key")

    def in_full(self) -> Self:
        """With what a list shows of each, in a constant number of queries."""
        return self.prefetch_related("techniques", "identifiers")

    def _tagged(self, **condition: object) -> Self:
        # A subquery and not a join: a paper with two matching techniques stays one row.
        tagged = self.model.techniques.through.objects.filter(**condition)
        return self.filter(pk__in=tagged.values("paper_id"))


class Term(SearchQuery):
    """One word or "phrase": titles and abstracts are stemmed, names are not, so it may match either way.

    An English stop word matches everything; else "attention is all you need" would find nothing.
    """

    def __init__(self, text: str, *, phrase: bool = False, negated: bool = False) -> None:
        super().__init__(text, search_type="phrase" if phrase else "plain", invert=negated)

    def as_sql(self, compiler: SQLCompiler, connection: object, **_: object) -> tuple[str, list]:
        english, simple = (f"{self.function}('{name}', %(expressions)s)" for name in ("english", "simple"))
        sign = "!!" if self.invert else ""
        template = (
            f"(CASE WHEN numnode({english}) = 0 THEN ''::tsquery ELSE {sign}({english} || {simple}) END)"
        )
        sql, parameters = Func.as_sql(self, compiler, connection, template=template)
        return sql, [*parameters] * template.count("%(expressions)s")


def words(text: str) -> SearchQueryCombinable:
    """A typed query: words, "phrases" and -not must all hold; `or` begins an alternative."""
    alternatives: list[list[SearchQueryCombinable]] = [[]]
    for minus, phrase, word in re.findall(r'(-?)(?:"([^"]*)"?|([^\s"]+))', text):
        if word.lower() == "or" and not minus:
            alternatives.append([])
        elif phrase or word:
            alternatives[-1].append(_spellings(phrase or word, phrase=bool(phrase), negated=bool(minus)))
    terms = [reduce(and_, alternative) for alternative in alternatives if alternative]
    return reduce(or_, terms or [Term("")])


def _spellings(text: str, *, phrase: bool, negated: bool) -> SearchQueryCombinable:
    """A term; with hyphens inside also as separate words in a row, so that kv-cache finds "KV cache"."""
    term = Term(text, phrase=phrase, negated=negated)
    if "-" not in text.strip("-"):
        return term
    apart = Term(text.replace("-", " "), phrase=True, negated=negated)
    return term & apart if negated else term | apart
