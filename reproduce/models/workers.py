"""The workers of the pool: what each of them has, and what its operators told it to do."""

from django.contrib.postgres.fields import ArrayField
from django.db import models

LABEL_LENGTH = 100


class Worker(models.Model):
    """A process that executes runs. Alive while it announces itself."""

    class Orders(models.TextChoices):
        """What it was told: a paused worker takes no new run; a drained one also leaves once it is idle."""

        SERVE = "serve"
        PAUSE = "pause"
        DRAIN = "drain"

    name = models.CharField(max_length=100, unique=True)
    host = models.CharField(max_length=100)
    pid = models.PositiveIntegerField()
    gpus = models.JSONField(default=list, help_text="[{uuid, name, memory_mb}], all that it found")
    slots = models.JSONField(
        default=list, help_text="[{device, gpus: [uuid], memory_gb, name, state, why}], by slot number"
    )
    labels = ArrayField(models.CharField(max_length=LABEL_LENGTH), default=list)
    versions = models.JSONField(default=dict, help_text="python, torch, driver, commit")
    orders = models.CharField(max_length=5, choices=Orders, default=Orders.SERVE)
    ordered_by = models.CharField(max_length=150, blank=True)
    ordered = models.DateTimeField(null=True)
    started = models.DateTimeField()
    seen = models.DateTimeField(db_index=True)
    stopped = models.DateTimeField(null=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(orders__in=["serve", "pause", "drain"]), name="worker_orders_known"
            )
        ]

    def __str__(self) -> str:
        return self.name
