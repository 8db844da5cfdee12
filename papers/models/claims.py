"""What papers say of themselves, as data, and what readers propose that they say."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from papers.metrics import METRICS
from papers.models.literature import Paper
from papers.models.rules import must, one_of


class ClaimedNumber(models.Model):
    """What a paper says of itself. Read it as "`value` `unit` against `baseline` in `setting`"."""

    class Kind(models.TextChoices):
        RATIO = "ratio"
        ABSOLUTE = "absolute"

    class Better(models.TextChoices):
        HIGHER = "higher"
        LOWER = "lower"
        EITHER = "either"

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

    class Meta:
        abstract = True
        constraints = [
            must(Q(low__lte=F("value"), high__gte=F("value")), "%(class)s_within_its_range"),
            one_of("kind", ["ratio", "absolute"], "%(class)s_kind_known"),
            one_of("better", ["higher", "lower", "either"], "%(class)s_better_known"),
            must(~Q(locator=""), "%(class)s_has_locator"),
        ]

    @property
    def metric_name(self) -> str:
        return METRICS[self.metric].name


class Claim(ClaimedNumber):
    """A claim as it stands beside what was measured."""

    class Provenance(models.TextChoices):
        CURATED = "curated"
        COMMUNITY = "community"

    paper = models.ForeignKey(Paper, on_delete=models.CASCADE, related_name="claims")
    slug = models.SlugField(
        max_length=60, help_text="Its name within the paper: the metric, numbered when repeated"
    )
    verified = models.BooleanField(help_text="The number was seen in a copy of the paper, not only recalled")
    source_kind = models.CharField(max_length=30, blank=True)
    provenance = models.CharField(max_length=10, choices=Provenance, default=Provenance.COMMUNITY)
    position = models.PositiveSmallIntegerField(default=0)

    class Meta(ClaimedNumber.Meta):
        ordering = ["paper_id", "position"]
        constraints = [
            models.UniqueConstraint(fields=["paper", "slug"], name="claim_named_once_per_paper"),
            *ClaimedNumber.Meta.constraints,
        ]

    def __str__(self) -> str:
        return f"{self.paper_id}:{self.slug}"


class ClaimProposal(ClaimedNumber):
    """A new claim, or a correction of one, that somebody sent in. It counts once a moderator accepts it."""

    class Decision(models.TextChoices):
        PENDING = "pending"
        ACCEPTED = "accepted"
        REJECTED = "rejected"

    # A paper with proposals is not removed: what people sent in stays.
    paper = models.ForeignKey(Paper, on_delete=models.PROTECT, related_name="claim_proposals")
    claim = models.ForeignKey(
        Claim,
        null=True,
        on_delete=models.SET_NULL,
        related_name="proposals",
        help_text="What it corrects, or what it became",
    )
    basis = models.JSONField(
        null=True, help_text="The claim as it stood when its correction was proposed; none for a new claim"
    )
    why = models.TextField()
    by_author = models.BooleanField(
        default=False, help_text="Whoever proposed it says that they are an author of the paper"
    )
    proposed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="claim_proposals"
    )
    created = models.DateTimeField(auto_now_add=True)
    decision = models.CharField(max_length=10, choices=Decision, default=Decision.PENDING)
    decision_reason = models.TextField(blank=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    decided = models.DateTimeField(null=True)

    class Meta(ClaimedNumber.Meta):
        ordering = ["created", "pk"]
        constraints = [
            *ClaimedNumber.Meta.constraints,
            must(~Q(why=""), "claimproposal_says_why"),
            one_of("decision", ["pending", "accepted", "rejected"], "claimproposal_decision_known"),
            must(
                Q(decision="pending", decided__isnull=True)
                | (~Q(decision="pending") & Q(decided__isnull=False)),
                "claimproposal_decided_iff_not_pending",
            ),
            must(~Q(decision="rejected", decision_reason=""), "claimproposal_rejected_with_reason"),
        ]

    def __str__(self) -> str:
        return f"Proposal {self.pk}"

    def get_absolute_url(self) -> str:
        return f"/proposals/{self.pk}"

    @property
    def is_correction(self) -> bool:
        return self.basis is not None
