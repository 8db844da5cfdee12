"""Many runs asked for at once: a batch, and the schedule that asks for one when torch changes."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from reproduce.models.runs import Run


class Schedule(models.Model):
    """A standing order: measure again on each torch that a worker brings and that has no result yet."""

    recipe = models.SlugField(max_length=60, blank=True, help_text="One recipe; empty for all of them")
    preset = models.CharField(max_length=10, choices=[("smoke", "smoke"), ("full", "full")])
    active = models.BooleanField(default=True)
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL)
    made = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["recipe", "preset"], condition=Q(active=True), name="schedule_once_per_recipe"
            )
        ]

    def __str__(self) -> str:
        return f"{self.recipe or 'every recipe'}, {self.preset}"


class Batch(models.Model):
    """Runs asked for together, with one progress and one cancel."""

    title = models.CharField(max_length=200)
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="batches"
    )
    schedule = models.ForeignKey(Schedule, null=True, on_delete=models.SET_NULL, related_name="batches")
    cause = models.CharField(
        max_length=200, blank=True, help_text="Why a schedule asked: the same cause asks once"
    )
    runs = models.ManyToManyField(Run, through="BatchMember", related_name="batches")
    left_out = models.JSONField(default=list, help_text="[{recipe, why}]: what could not be asked for")
    created = models.DateTimeField(db_default=Now())
    cancelled = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-pk"]
        verbose_name_plural = "batches"
        constraints = [
            models.UniqueConstraint(fields=["cause"], condition=~Q(cause=""), name="batch_once_per_cause")
        ]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        return f"/batches/{self.pk}"


class BatchMember(models.Model):
    """A run of a batch: queued for it, or joined because somebody had asked the same question."""

    batch = models.ForeignKey(Batch, on_delete=models.CASCADE, related_name="members")
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="memberships")
    joined = models.BooleanField(
        default=False, help_text="Not cancelled with the batch: it is somebody else's"
    )

    class Meta:
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["batch", "run"], name="batch_member_once")]

    def __str__(self) -> str:
        return f"{self.batch_id}: {self.run_id}"
