"""Sets of papers, in words."""

from collections.abc import Collection
from typing import Self

from django.db import models
from django.db.models import F, Func, TextField


class Folded(Func):
    """A text without its accents, as migration 0003 defines it: what search compares."""

    function = "spectrum_folded"
    output_field = TextField()


class FirstAuthor(Func):
    """The first of the authors, cut to what an index takes."""

    template = "LEFT(SPLIT_PART(%(expressions)s, ' and ', 1), 80)"
    output_field = TextField()


class PaperQuerySet(models.QuerySet):
    def on_axes(self, axes: Collection[str]) -> Self:
        """Papers with a technique on any of these axes."""
        # A subquery and not a join: a paper with two matching techniques stays one row.
        tagged = self.model.techniques.through.objects.filter(technique__axis__in=axes)
        return self.filter(pk__in=tagged.values("paper_id"))

    def newest(self) -> Self:
        """By date, then in the order of adding: one that survives export and import."""
        return self.order_by("-year", F("month").desc(nulls_last=True), "pk")

    def in_full(self) -> Self:
        """With what a list shows of each, in a constant number of queries."""
        return self.prefetch_related("techniques", "identifiers")
