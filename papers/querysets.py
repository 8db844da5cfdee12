"""Sets of papers, in words."""

from typing import Self

from django.db import models


class PaperQuerySet(models.QuerySet):
    def on_axes(self, axes: list[str]) -> Self:
        return self.filter(techniques__axis__in=axes).distinct() if axes else self

    def using(self, techniques: list[str]) -> Self:
        return self.filter(techniques__slug__in=techniques).distinct() if techniques else self
