"""Bundles that people measured on machines of their own. No run until a moderator accepts it."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from reproduce.models.runs import Run


class Contribution(models.Model):
    """An uploaded bundle and what was decided about it; an accepted one has a run."""

    class Decision(models.TextChoices):
        PENDING = "pending"
        ACCEPTED = "accepted"
        REJECTED = "rejected"

    bundle = models.BinaryField(help_text="As it was sent, gzipped")
    bundle_sha256 = models.CharField(max_length=64, unique=True)
    recipe = models.SlugField(max_length=60)
    device_name = models.CharField(max_length=120)
    filename = models.CharField(max_length=200, blank=True)
    note = models.TextField(blank=True)
    sent_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="contributions"
    )
    sent = models.DateTimeField(db_default=Now())
    decision = models.CharField(max_length=8, choices=Decision, default=Decision.PENDING)
    reason = models.TextField(blank=True, help_text="The sender reads it")
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    decided = models.DateTimeField(null=True)
    run = models.OneToOneField(Run, null=True, on_delete=models.PROTECT, related_name="contribution")

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(decision="accepted", run__isnull=False)
                | Q(decision__in=["pending", "rejected"], run__isnull=True),
                name="contribution_run_iff_accepted",
            ),
            models.CheckConstraint(
                condition=Q(decision="pending") | Q(decided__isnull=False), name="contribution_decided_when"
            ),
        ]

    def __str__(self) -> str:
        return f"Contribution {self.pk} of {self.recipe}"

    def get_absolute_url(self) -> str:
        return f"/contributions/{self.pk}"
