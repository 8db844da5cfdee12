"""What a run measured, and what that says about a paper's claim."""

from copy import copy
from typing import Any

from django.db import models
from django.db.models import F, Q

from papers.models import Claim
from reproduce.models.runs import Run
from reproduce.querysets import MeasurementQuerySet

JUDGED = (
    *("metric", "kind", "value", "low", "high", "range_printed", "unit", "better", "baseline", "setting"),
    "locator",
)


class Measurement(models.Model):
    """One number that a run earned, and its verdict against the claim it re-measures."""

    class Verdict(models.TextChoices):
        REPRODUCED = "reproduced"
        SAME_DIRECTION = "same_direction", "same direction"
        NOT_REPRODUCED = "not_reproduced", "not reproduced"
        INCONCLUSIVE = "inconclusive"
        NOT_COMPARABLE = "not_comparable", "not comparable"
        INVALID = "invalid", "invalid: a quality guard failed"

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="measurements")
    name = models.SlugField(max_length=60, help_text="Its name within the recipe")
    label = models.CharField(max_length=200)
    metric = models.CharField(max_length=40)
    claim = models.ForeignKey(Claim, null=True, on_delete=models.PROTECT, related_name="measurements")
    claimed = models.JSONField(null=True, help_text="The claim as it stood when this was judged by it")
    value = models.FloatField()
    low = models.FloatField()
    high = models.FloatField()
    n = models.PositiveIntegerField()
    unit = models.CharField(max_length=120, blank=True)
    predicted = models.FloatField(null=True, help_text="Roofline prediction on this hardware")
    predicted_note = models.TextField(blank=True)
    noise = models.FloatField(null=True, help_text="A/A noise floor, relative")
    detail = models.JSONField(default=dict)
    headline = models.BooleanField(default=False)
    verdict = models.CharField(max_length=15, choices=Verdict)
    verdict_reason = models.TextField()
    position = models.PositiveSmallIntegerField(default=0)

    objects = MeasurementQuerySet.as_manager()

    class Meta:
        ordering = ["run_id", "position"]
        constraints = [
            models.UniqueConstraint(fields=["run", "name"], name="measurement_once_per_run"),
            models.CheckConstraint(
                condition=Q(low__lte=F("value"), high__gte=F("value")), name="measurement_in_interval"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.run_id}: {self.name}"

    @property
    def judged_by(self) -> Claim | None:
        """The claim as it stood when this was judged, unsaved: verdicts stay when a claim is corrected."""
        if self.claim is None or self.claimed is None:
            return self.claim
        judged = copy(self.claim)
        for name, value in self.claimed.items():
            setattr(judged, name, value)
        return judged

    @property
    def corrected_since(self) -> bool:
        """Whether the claim is no longer what this was judged by."""
        return bool(self.claim and self.claimed) and self.claimed != judged_values(self.claim)


def judged_values(claim: Claim) -> dict[str, Any]:
    """What of a claim a verdict rests on."""
    return {name: getattr(claim, name) for name in JUDGED}
