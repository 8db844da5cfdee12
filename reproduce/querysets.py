"""Sets of runs and of measurements, in words: which are ours, and which of those count."""

from typing import Self

from django.db import models

CONTRIBUTED = "contributed"


class RunQuerySet(models.QuerySet):
    def ours(self) -> Self:
        """Measured by this pool or shipped with Spectrum; contributed runs are others' evidence."""
        return self.exclude(origin=CONTRIBUTED)

    def scored(self) -> Self:
        """Runs whose numbers count: of ours, the finished ones of the full preset."""
        return self.ours().filter(status="done", preset="full")


class MeasurementQuerySet(models.QuerySet):
    def scored(self) -> Self:
        """What runs measured whose numbers count: see RunQuerySet.scored."""
        return self.filter(run__status="done", run__preset="full").exclude(run__origin=CONTRIBUTED)
