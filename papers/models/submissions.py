"""What users sent in. An entry is not a paper until a moderator accepts it."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from papers.models.literature import Paper
from papers.models.rules import must, one_of


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
        POSSIBLE = "possible", "possible duplicate"
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
            one_of("found", ["new", "known", "possible", "invalid"], "entry_found_known"),
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
