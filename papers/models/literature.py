"""Papers with all their identifiers, by technique and axis."""

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVector, SearchVectorField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Left, Right

from papers.models.rules import must, one_of
from papers.querysets import FirstAuthor, Folded, PaperQuerySet

AXES = {
    "budget": "Budget",
    "data": "Data",
    "architecture": "Architecture",
    "training": "Training & tuning",
    "inference": "Inference",
}


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
            # by which near-duplicates are found: neighbours.py
            models.Index(Left("title_key", 20), name="paper_title_begins"),
            models.Index(Right("title_key", 20), name="paper_title_ends"),
            models.Index(FirstAuthor("authors"), "year", name="paper_first_author"),
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
