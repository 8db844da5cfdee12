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
    total = models.PositiveIntegerField(
        default=0, help_text="References found in the text; their entries are stored batch by batch"
    )
    remarks = models.JSONField(default=list, help_text="What of the text is no reference, a sentence each")
    created = models.DateTimeField(auto_now_add=True)
    told = models.DateTimeField(null=True, help_text="When the submitter's one e-mail about it was taken up")

    class Meta:
        ordering = ["-created"]
        indexes = [models.Index(fields=["id"], condition=Q(told=None), name="submission_untold")]

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
        INCOMPLETE = "incomplete", "metadata to be completed"
        INVALID = "invalid"

    class Decision(models.TextChoices):
        PENDING = "pending"
        ACCEPTED = "accepted"
        MERGED = "merged"
        REJECTED = "rejected"

    class Format(models.TextChoices):
        BIBTEX = "bibtex", "BibTeX"
        RIS = "ris", "RIS"
        CSL = "csl", "CSL-JSON"
        ARXIV = "arxiv", "arXiv id"
        DOI = "doi", "DOI"
        OPENREVIEW = "openreview", "OpenReview id"
        ACL = "acl", "ACL id"
        URL = "url", "web address"
        LINE = "line", "line of text"

    submission = models.ForeignKey(Submission, on_delete=models.CASCADE, related_name="entries")
    position = models.PositiveIntegerField()
    line = models.PositiveIntegerField(help_text="Where it begins in the submission's text")
    format = models.CharField(
        max_length=10, choices=Format, default=Format.BIBTEX, help_text="What it was recognised as"
    )
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
        indexes = [
            models.Index(
                "id", name="entry_waits_for_metadata", condition=Q(found="incomplete", decision="pending")
            )
        ]
        verbose_name_plural = "entries"
        constraints = [
            models.UniqueConstraint(fields=["submission", "position"], name="entry_position_once"),
            one_of("found", ["new", "known", "possible", "incomplete", "invalid"], "entry_found_known"),
            one_of("decision", ["pending", "accepted", "merged", "rejected"], "entry_decision_known"),
            must(
                Q(decision="pending", decided__isnull=True)
                | (~Q(decision="pending") & Q(decided__isnull=False)),
                "entry_decided_iff_not_pending",
            ),
            must(~Q(found="invalid", decision__in=["accepted", "merged"]), "entry_invalid_never_accepted"),
            must(~Q(found="incomplete", decision="accepted"), "entry_incomplete_never_accepted"),
            must(~Q(decision="rejected", decision_reason=""), "entry_rejected_with_reason"),
        ]

    def __str__(self) -> str:
        return f"{self.submission_id}/{self.position}"
