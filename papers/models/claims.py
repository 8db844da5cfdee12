"""What papers say of themselves, as data."""

from django.db import models
from django.db.models import F, Q

from papers.metrics import METRICS
from papers.models.literature import Paper
from papers.models.rules import must, one_of


class Claim(models.Model):
    """What a paper says of itself, as data. Read it as "`value` `unit` against `baseline` in `setting`"."""

    class Kind(models.TextChoices):
        RATIO = "ratio"
        ABSOLUTE = "absolute"

    class Better(models.TextChoices):
        HIGHER = "higher"
        LOWER = "lower"
        EITHER = "either"

    class Provenance(models.TextChoices):
        CURATED = "curated"
        COMMUNITY = "community"

    paper = models.ForeignKey(Paper, on_delete=models.CASCADE, related_name="claims")
    slug = models.SlugField(
        max_length=60, help_text="Its name within the paper: the metric, numbered when repeated"
    )
    metric = models.CharField(max_length=40)
    kind = models.CharField(max_length=10, choices=Kind)
    value = models.FloatField()
    low = models.FloatField()
    high = models.FloatField()
    range_printed = models.BooleanField(
        help_text="The paper itself prints the range; else an editor chose it"
    )
    unit = models.CharField(max_length=120)
    better = models.CharField(max_length=10, choices=Better)
    baseline = models.CharField(max_length=300, blank=True)
    setting = models.CharField(max_length=500, blank=True)
    locator = models.CharField(
        max_length=300, help_text="Where the paper says so: a table, a figure, a section"
    )
    verified = models.BooleanField(help_text="The number was seen in a copy of the paper, not only recalled")
    source_kind = models.CharField(max_length=30, blank=True)
    provenance = models.CharField(max_length=10, choices=Provenance, default=Provenance.COMMUNITY)
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["paper_id", "position"]
        constraints = [
            models.UniqueConstraint(fields=["paper", "slug"], name="claim_named_once_per_paper"),
            must(Q(low__lte=F("value"), high__gte=F("value")), "claim_within_its_range"),
            one_of("kind", ["ratio", "absolute"], "claim_kind_known"),
            one_of("better", ["higher", "lower", "either"], "claim_better_known"),
            must(~Q(locator=""), "claim_has_locator"),
        ]

    def __str__(self) -> str:
        return f"{self.paper_id}:{self.slug}"

    @property
    def metric_name(self) -> str:
        return METRICS[self.metric].name
