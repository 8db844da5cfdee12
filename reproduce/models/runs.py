"""Runs, their history, and what they say while they run.

Only lifecycle.py writes Run.status. `attempt` fences writers: a write from an older attempt is refused.
"""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Coalesce, Extract, Now

from papers.models import Paper
from reproduce.models.workers import LABEL_LENGTH, Worker
from reproduce.querysets import RunQuerySet

HEAD_START_S = 600  # a point of priority is worth ten minutes of waiting


class Run(models.Model):
    class Status(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"
        CANCELLED = "cancelled"

    class Failure(models.TextChoices):
        RECIPE_ERROR = "recipe_error", "the recipe failed"
        OUT_OF_MEMORY = "out_of_memory", "out of memory"
        TIMEOUT = "timeout", "out of time"
        BAD_REPORT = "bad_report", "unreadable report"
        WORKER_LOST = "worker_lost", "worker lost"
        PLATFORM = "platform", "platform fault"

    class Origin(models.TextChoices):
        POOL = "pool", "measured by this pool"
        SHIPPED = "shipped", "shipped with Spectrum"
        CONTRIBUTED = "contributed"

    FINAL = ("done", "failed", "cancelled")
    HEAVY = ("bundle", "trace", "series", "environment", "guards")  # lists defer these

    recipe = models.SlugField(max_length=60)
    recipe_version = models.PositiveIntegerField()
    recipe_digest = models.CharField(max_length=64)
    paper = models.ForeignKey(Paper, on_delete=models.PROTECT, related_name="runs")
    preset = models.CharField(max_length=10, choices=[("smoke", "smoke"), ("full", "full")])
    parameters = models.JSONField(default=dict)
    device = models.CharField(max_length=4, choices=[("cuda", "GPU"), ("cpu", "CPU")])
    gpus = models.PositiveSmallIntegerField(default=1)
    memory_gb = models.FloatField(default=0, help_text="Memory that each of its GPUs must have")
    labels = ArrayField(
        models.CharField(max_length=LABEL_LENGTH), default=list, help_text="Labels that its worker must have"
    )
    time_limit = models.PositiveIntegerField(help_text="seconds")
    origin = models.CharField(max_length=12, choices=Origin, default=Origin.POOL)
    fingerprint = models.CharField(max_length=64, help_text="Same fingerprint, same question")
    repeat = models.PositiveIntegerField(default=0, help_text="Above 0: a fresh repeat of the same question")
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="runs"
    )
    priority = models.SmallIntegerField(default=0)
    # Ageing without a clock: a waiting run's turn is fixed, and a point of priority is a head start.
    turn = models.GeneratedField(
        expression=Extract("queued", "epoch") - F("priority") * HEAD_START_S,
        output_field=models.FloatField(),
        db_persist=True,
    )

    status = models.CharField(max_length=10, choices=Status, default=Status.QUEUED)
    attempt = models.PositiveSmallIntegerField(default=0, help_text="How often it was claimed")
    lost = models.PositiveSmallIntegerField(default=0, help_text="How many attempts lost their worker")
    worker = models.ForeignKey(Worker, null=True, on_delete=models.SET_NULL, related_name="runs")
    slot = models.PositiveSmallIntegerField(null=True, help_text="Which slot of its worker")
    lease_token = models.UUIDField(null=True)
    lease_until = models.DateTimeField(null=True)
    cancel_requested = models.DateTimeField(null=True)
    progress = models.FloatField(default=0)
    step = models.CharField(max_length=200, blank=True)
    failure = models.CharField(max_length=15, choices=Failure, blank=True)
    message = models.TextField(blank=True, help_text="One sentence for the reader")
    queued = models.DateTimeField(db_default=Now(), db_index=True)
    started = models.DateTimeField(null=True)
    finished = models.DateTimeField(null=True)

    device_name = models.CharField(max_length=100, blank=True)
    gpu_seconds = models.FloatField(default=0)
    energy_j = models.FloatField(null=True)
    guards = models.JSONField(default=list)
    series = models.JSONField(default=list)
    trace = models.JSONField(default=list)
    environment = models.JSONField(default=dict)
    bundle = models.BinaryField(null=True, help_text="The bundle, gzipped, as the child wrote it")
    bundle_sha256 = models.CharField(max_length=64, blank=True)

    objects = RunQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        indexes = [
            models.Index("device", "turn", "id", condition=Q(status="queued"), name="run_waiting"),
            models.Index(
                "device",
                Coalesce("requested_by", 0),
                "turn",
                "id",
                condition=Q(status="queued"),
                name="run_waiting_of",
            ),
            models.Index("lease_until", condition=Q(status="running"), name="run_leases"),
            models.Index("requested_by", condition=Q(status="running"), name="run_in_flight"),
            models.Index("recipe", "status", name="run_by_recipe"),
            models.Index("fingerprint", name="run_by_question"),
            models.Index("bundle_sha256", condition=~Q(bundle_sha256=""), name="run_by_bundle"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["fingerprint", "repeat"],
                condition=Q(status__in=["queued", "running"]),
                name="run_one_in_flight_per_question",
            ),
            models.UniqueConstraint(
                fields=["worker", "slot"], condition=Q(status="running"), name="run_one_per_slot"
            ),
            models.CheckConstraint(
                condition=Q(progress__gte=0, progress__lte=1, lost__lte=F("attempt")), name="run_counts_sane"
            ),
            models.UniqueConstraint(
                fields=["bundle_sha256"],
                condition=~Q(bundle_sha256="") & ~Q(origin="pool"),
                name="run_bundle_loaded_once",
            ),
            models.CheckConstraint(
                condition=Q(status__in=["queued", "running", "done", "failed", "cancelled"]),
                name="run_status_known",
            ),
            models.CheckConstraint(
                condition=Q(status__in=["queued", "running"], finished__isnull=True)
                | Q(status__in=["done", "failed", "cancelled"], finished__isnull=False),
                name="run_finished_iff_final",
            ),
            models.CheckConstraint(
                condition=Q(status="running", lease_token__isnull=False, lease_until__isnull=False)
                | (~Q(status="running") & Q(lease_token__isnull=True, lease_until__isnull=True)),
                name="run_leased_iff_running",
            ),
            models.CheckConstraint(
                condition=Q(status="failed", failure__gt="") & ~Q(message="")
                | (~Q(status="failed") & Q(failure="")),
                name="run_failure_explained",
            ),
        ]

    def __str__(self) -> str:
        return f"Run {self.pk} of {self.recipe}"

    def get_absolute_url(self) -> str:
        return f"/runs/{self.pk}"

    @property
    def is_final(self) -> bool:
        return self.status in self.FINAL

    @property
    def duration(self) -> float | None:
        """Seconds from start to end, once both are known."""
        return (self.finished - self.started).total_seconds() if self.started and self.finished else None


class RunEvent(models.Model):
    """One transition of a run: append-only."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="events")
    at = models.DateTimeField()
    attempt = models.PositiveSmallIntegerField()
    status = models.CharField(max_length=10)
    who = models.CharField(max_length=150)
    why = models.TextField()

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.run_id}: {self.status}"


class LogChunk(models.Model):
    """A piece of a run's log. `offset` counts bytes of UTF-8 from the start of the attempt's log."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="log_chunks")
    attempt = models.PositiveSmallIntegerField()
    offset = models.PositiveIntegerField()
    text = models.TextField()

    class Meta:
        ordering = ["attempt", "offset"]
        constraints = [models.UniqueConstraint(fields=["run", "attempt", "offset"], name="log_chunk_once")]

    def __str__(self) -> str:
        return f"{self.run_id}/{self.attempt}@{self.offset}"


class TraceChunk(models.Model):
    """Points of a running attempt's GPU trace, as they came; once it is done, its bundle holds them all."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="trace_chunks")
    attempt = models.PositiveSmallIntegerField()
    points = models.JSONField(
        help_text="[{t, gpu, memory_mb, utilisation, power_w, ...}], seconds from the start"
    )

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.run_id}/{self.attempt}: {len(self.points)} points"
