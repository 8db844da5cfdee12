"""What the literature is: papers with all their identifiers and claims, and what users sent in.

Only moderation.py writes papers and claims, so that every change is kept and can be undone.
"""

from collections.abc import Iterable

from django.conf import settings
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVector, SearchVectorField
from django.db import models
from django.db.models import F, Q

from papers.metrics import METRICS
from papers.querysets import Folded, PaperQuerySet

AXES = {
    "budget": "Budget",
    "data": "Data",
    "architecture": "Architecture",
    "training": "Training & tuning",
    "inference": "Inference",
}


def must(condition: Q, name: str) -> models.CheckConstraint:
    return models.CheckConstraint(condition=condition, name=name)


def one_of(field: str, values: Iterable[str], name: str) -> models.CheckConstraint:
    return must(Q(**{f"{field}__in": list(values)}), name)


class Technique(models.Model):
    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=100)
    axis = models.CharField(max_length=20, choices=list(AXES.items()))
    position = models.PositiveSmallIntegerField(help_text="Order within the whole taxonomy")

    class Meta:
        ordering = ["position"]
        constraints = [one_of("axis", AXES, "technique_axis_known")]

    def __str__(self) -> str:
        return self.name


class Paper(models.Model):
    class Origin(models.TextChoices):
        CURATED = "curated"
        COMMUNITY = "community"

    key = models.SlugField(max_length=80, unique=True, help_text="Its address here and its BibTeX key")
    title = models.TextField()
    title_key = models.CharField(
        max_length=200, db_index=True, editable=False, help_text="How twins are found"
    )
    authors = models.TextField(blank=True, help_text='"Last, First and Last, First", as in BibTeX')
    authors_complete = models.BooleanField(default=True)
    year = models.PositiveSmallIntegerField()
    month = models.PositiveSmallIntegerField(null=True, blank=True)
    venue = models.CharField(max_length=300, blank=True)
    kind = models.CharField(max_length=30, default="misc", help_text="BibTeX entry type")
    abstract = models.TextField(blank=True)
    url = models.URLField(max_length=500, blank=True)
    code_url = models.URLField(max_length=500, blank=True)
    techniques = models.ManyToManyField(Technique, related_name="papers")
    origin = models.CharField(max_length=10, choices=Origin, default=Origin.COMMUNITY)
    verified = models.BooleanField(
        default=True, help_text="Its facts were seen in a source, not only recalled"
    )
    sources = models.JSONField(default=list, blank=True)
    details = models.JSONField(default=dict, blank=True, help_text="Other BibTeX fields, such as pages")
    added = models.DateTimeField(auto_now_add=True)
    changed = models.DateTimeField(auto_now=True)
    search = models.GeneratedField(
        expression=SearchVector(Folded("title"), weight="A", config="english")
        + SearchVector(Folded("authors"), weight="B", config="simple")
        + SearchVector(Folded("abstract"), weight="C", config="english"),
        output_field=SearchVectorField(),
        db_persist=True,
    )

    objects = PaperQuerySet.as_manager()

    class Meta:
        ordering = ["-year", "key"]
        indexes = [
            GinIndex(fields=["search"], name="paper_search"),
            models.Index(F("year").desc(), "key", name="paper_newest"),
        ]
        constraints = [
            must(~Q(title=""), "paper_has_title"),
            must(Q(year__range=(1900, 2100)), "paper_year_plausible"),
            must(Q(month__isnull=True) | Q(month__range=(1, 12)), "paper_month"),
            one_of("origin", ["curated", "community"], "paper_origin_known"),
        ]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        return f"/papers/{self.key}"

    @property
    def author_list(self) -> list[str]:
        """Authors as "Last, First", in the paper's order."""
        return self.authors.split(" and ") if self.authors else []

    @property
    def byline(self) -> str:
        """ "Dao, Fu, Ermon et al.": up to three surnames, for lists."""
        names = [name.split(",")[0] for name in self.author_list]
        more = len(names) > 3 or not self.authors_complete
        return ", ".join(names[:3]) + (" et al." if more else "")


class Identifier(models.Model):
    """One of the names a paper goes by elsewhere. `value` is normalised by identity.py."""

    SCHEMES = ("arxiv", "doi", "openreview", "acl", "url")

    paper = models.ForeignKey(Paper, on_delete=models.CASCADE, related_name="identifiers")
    scheme = models.CharField(max_length=10, choices=[(s, s) for s in SCHEMES])
    value = models.CharField(max_length=500)

    class Meta:
        ordering = ["scheme", "value"]
        constraints = [
            models.UniqueConstraint(fields=["scheme", "value"], name="identifier_names_one_paper"),
            one_of("scheme", ["arxiv", "doi", "openreview", "acl", "url"], "identifier_scheme_known"),
        ]

    def __str__(self) -> str:
        return f"{self.scheme}:{self.value}"


class FormerKey(models.Model):
    """A key that a merge or a renaming retired: its address redirects for ever."""

    key = models.SlugField(max_length=80, unique=True)
    paper = models.ForeignKey(Paper, on_delete=models.CASCADE, related_name="former_keys")

    def __str__(self) -> str:
        return self.key


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


class Submission(models.Model):
    """What somebody sent in, kept exactly as typed."""

    submitted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="submissions"
    )
    text = models.TextField()
    filename = models.CharField(max_length=200, blank=True)
    note = models.TextField(blank=True, help_text="What the submitter wants the moderators to know")
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created"]

    def __str__(self) -> str:
        return f"Submission {self.pk}"

    def get_absolute_url(self) -> str:
        return f"/submissions/{self.pk}"


class Entry(models.Model):
    """One reference of a submission. It is not a Paper until a moderator accepts it."""

    class Found(models.TextChoices):
        NEW = "new"
        KNOWN = "known", "already here"
        INVALID = "invalid"

    class Decision(models.TextChoices):
        PENDING = "pending"
        ACCEPTED = "accepted"
        MERGED = "merged"
        REJECTED = "rejected"

    submission = models.ForeignKey(Submission, on_delete=models.CASCADE, related_name="entries")
    position = models.PositiveIntegerField()
    line = models.PositiveIntegerField(help_text="Where it begins in the submission's text")
    raw = models.TextField()
    fields = models.JSONField(default=dict, help_text="What intake read from it, in Paper's terms")
    found = models.CharField(max_length=10, choices=Found)
    reason = models.TextField(blank=True, help_text="Why it is invalid, or by what it was recognised")
    decision = models.CharField(max_length=10, choices=Decision, default=Decision.PENDING)
    decision_reason = models.TextField(blank=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    decided = models.DateTimeField(null=True)
    paper = models.ForeignKey(
        Paper,
        null=True,
        on_delete=models.SET_NULL,
        related_name="entries",
        help_text="The match, or what it became",
    )

    class Meta:
        ordering = ["submission_id", "position"]
        constraints = [
            models.UniqueConstraint(fields=["submission", "position"], name="entry_position_once"),
            one_of("found", ["new", "known", "invalid"], "entry_found_known"),
            one_of("decision", ["pending", "accepted", "merged", "rejected"], "entry_decision_known"),
            must(
                Q(decision="pending", decided__isnull=True)
                | (~Q(decision="pending") & Q(decided__isnull=False)),
                "entry_decided_iff_not_pending",
            ),
            must(~Q(found="invalid", decision__in=["accepted", "merged"]), "entry_invalid_never_accepted"),
            must(~Q(decision="rejected", decision_reason=""), "entry_rejected_with_reason"),
        ]

    def __str__(self) -> str:
        return f"{self.submission_id}/{self.position}"


class Change(models.Model):
    """One public line of history: who changed what, when, why, and what was there before."""

    paper = models.ForeignKey(Paper, null=True, on_delete=models.SET_NULL, related_name="changes")
    subject = models.CharField(
        max_length=200, help_text='"paper dao2022flashattention", "claim <key>/speedup_x"'
    )
    action = models.CharField(max_length=20)
    who = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    when = models.DateTimeField(auto_now_add=True)
    why = models.TextField(blank=True)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    undoes = models.OneToOneField("self", null=True, on_delete=models.PROTECT, related_name="undone_by")

    class Meta:
        ordering = ["-when", "-pk"]

    def __str__(self) -> str:
        return f"{self.action} {self.subject}"
