"""What was asked of other sites, when, and what came of it."""

from django.conf import settings
from django.contrib.postgres.indexes import GinIndex, OpClass
from django.db import models
from django.db.models import Q
from django.db.models.fields.json import KeyTransform
from django.utils import timezone

from papers.models.history import Change
from papers.models.literature import Paper, Technique
from papers.models.rules import must, one_of


class Turn(models.Model):
    """Whose turn it is to ask a source, and from when on the next may: see pacing.py."""

    name = models.CharField(max_length=40, primary_key=True)
    free_at = models.DateTimeField()
    holder = models.CharField(max_length=16, blank=True)
    day = models.PositiveIntegerField(help_text="Days of UTC since 1970")
    taken = models.PositiveIntegerField(help_text="Turns on that day")

    def __str__(self) -> str:
        return self.name


class Lookup(models.Model):
    """One question to one source about one identifier: the order, its attempts, and the kept answer."""

    class State(models.TextChoices):
        WAITING = "waiting"
        FOUND = "found"
        NOTHING = "nothing", "knows nothing of it"
        FAILED = "failed"

    source = models.CharField(max_length=10)
    scheme = models.CharField(max_length=10)
    value = models.CharField(max_length=500)
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    delivered = models.BooleanField(default=False, help_text="Papers that are here were compared with it")
    facts = models.JSONField(null=True, help_text="The answer, in Paper's terms")
    attempts = models.PositiveSmallIntegerField(default=0)
    fault = models.TextField(blank=True, help_text="What came of the last attempt, in a sentence")
    tried = models.DateTimeField(null=True)
    next_try = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["pk"]
        indexes = [
            models.Index("source", "next_try", name="lookup_due", condition=Q(state="waiting")),
            # Which preprints an answer said to have a certain DOI.
            GinIndex(
                OpClass(KeyTransform("identifiers", "facts"), name="jsonb_path_ops"),
                name="lookup_names",
                condition=Q(scheme="arxiv", state="found"),
            ),
            models.Index("id", name="lookup_undelivered", condition=Q(delivered=False) & ~Q(state="waiting")),
        ]
        constraints = [
            models.UniqueConstraint(fields=["scheme", "value", "source"], name="lookup_asked_once"),
            one_of("state", ["waiting", "found", "nothing", "failed"], "lookup_state_known"),
            must(Q(facts__isnull=False) | ~Q(state="found"), "lookup_found_has_facts"),
        ]

    def __str__(self) -> str:
        return f"{self.source} of {self.scheme}:{self.value}"


class Update(models.Model):
    """A change of a paper that a source suggests; a moderator decides."""

    class State(models.TextChoices):
        PENDING = "pending"
        ACCEPTED = "accepted"
        DECLINED = "declined"

    paper = models.ForeignKey(Paper, on_delete=models.CASCADE, related_name="updates")
    before = models.JSONField(help_text="What the paper said of these facts when this was seen")
    after = models.JSONField(help_text="What it would say; of identifiers, those that it would gain")
    digest = models.CharField(max_length=64, editable=False, help_text="Of `after`")
    source = models.TextField(help_text="Who says so, in a sentence")
    seen = models.DateTimeField(auto_now_add=True)
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    decided = models.DateTimeField(null=True)
    reason = models.TextField(blank=True)
    change = models.OneToOneField(Change, null=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        ordering = ["seen", "pk"]
        constraints = [
            # Also a declined one: what was turned down does not come back.
            models.UniqueConstraint(fields=["paper", "digest"], name="update_made_once"),
            one_of("state", ["pending", "accepted", "declined"], "update_state_known"),
            must(
                Q(state="pending", decided__isnull=True) | (~Q(state="pending") & Q(decided__isnull=False)),
                "update_decided_iff_not_pending",
            ),
            must(~Q(state="declined", reason=""), "update_declined_with_reason"),
        ]

    def __str__(self) -> str:
        return f"{self.paper_id}: {', '.join(self.after)}"


class SavedQuery(models.Model):
    """A search of arXiv that is repeated each day; what is new goes to the moderators."""

    text = models.CharField(
        max_length=500, help_text="In the language of arXiv's API: cat:cs.LG AND abs:quantization"
    )
    technique = models.ForeignKey(Technique, null=True, blank=True, on_delete=models.SET_NULL)
    on = models.BooleanField(default=True)
    changed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    tried = models.DateTimeField(null=True)
    fault = models.TextField(blank=True)
    next_try = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["text"], name="saved_query_once"),
            must(~Q(text=""), "saved_query_has_text"),
        ]

    def __str__(self) -> str:
        return self.text


class Sighting(models.Model):
    """A paper on arXiv that a saved query found: it is proposed once, whatever becomes of it."""

    arxiv = models.CharField(max_length=40, unique=True)
    query = models.ForeignKey(SavedQuery, null=True, on_delete=models.SET_NULL, related_name="sightings")
    seen = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.arxiv


class Link(models.Model):
    """An address that papers give, and whether it still leads anywhere."""

    class State(models.TextChoices):
        NEW = "new", "not looked at yet"
        WORKS = "works"
        CLOSED = "closed", "does not let programs look"
        SILENT = "silent", "did not answer"
        BROKEN = "broken"

    address = models.CharField(max_length=500, unique=True)
    state = models.CharField(max_length=10, choices=State, default=State.NEW)
    fault = models.TextField(blank=True)
    checked = models.DateTimeField(null=True)
    verified = models.DateTimeField(null=True, help_text="When it last worked")
    misses = models.PositiveSmallIntegerField(default=0, help_text="Times in a row that it did not work")
    next_try = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        ordering = ["pk"]
        constraints = [one_of("state", ["new", "works", "closed", "silent", "broken"], "link_state_known")]

    def __str__(self) -> str:
        return self.address
