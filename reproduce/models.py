"""What we re-measured: runs, their history, what they measured, and the workers that execute them.

Only lifecycle.py writes Run.status. `attempt` fences writers: a write from an older attempt is refused.
"""

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from papers.models import Claim, Paper


class Worker(models.Model):
    """A process that executes runs. Alive while it announces itself."""

    name = models.CharField(max_length=100, unique=True)
    host = models.CharField(max_length=100)
    pid = models.PositiveIntegerField()
    cpu_slots = models.PositiveSmallIntegerField(default=1)
    gpus = models.JSONField(default=list, help_text="[{uuid, name, memory_mb}]; each is a slot")
    versions = models.JSONField(default=dict, help_text="torch, driver, code commit")
    started = models.DateTimeField()
    seen = models.DateTimeField(db_index=True)
    stopped = models.DateTimeField(null=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


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
    time_limit = models.PositiveIntegerField(help_text="seconds")
    origin = models.CharField(max_length=12, choices=Origin, default=Origin.POOL)
    fingerprint = models.CharField(max_length=64, help_text="Same fingerprint, same question")
    repeat = models.PositiveIntegerField(default=0, help_text="Above 0: a fresh repeat of the same question")
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="runs"
    )
    priority = models.SmallIntegerField(default=0)

    status = models.CharField(max_length=10, choices=Status, default=Status.QUEUED)
    attempt = models.PositiveSmallIntegerField(default=0, help_text="How often it was claimed")
    lost = models.PositiveSmallIntegerField(default=0, help_text="How many attempts lost their worker")
    worker = models.ForeignKey(Worker, null=True, on_delete=models.SET_NULL, related_name="runs")
    lease_token = models.UUIDField(null=True)
    lease_until = models.DateTimeField(null=True)
    cancel_requested = models.DateTimeField(null=True)
    progress = models.FloatField(default=0)
    step = models.CharField(max_length=200, blank=True)
    failure = models.CharField(max_length=15, choices=Failure, blank=True)
    message = models.TextField(blank=True, help_text="One sentence for the reader")
    queued = models.DateTimeField(auto_now_add=True)
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

    class Meta:
        ordering = ["-pk"]
        indexes = [
            models.Index(
                name="run_waiting", fields=["device", "-priority", "id"], condition=Q(status="queued")
            ),
            models.Index("lease_until", condition=Q(status="running"), name="run_leases"),
            models.Index("requested_by", condition=Q(status="running"), name="run_in_flight"),
            models.Index("recipe", "status", name="run_by_recipe"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["fingerprint", "repeat"],
                condition=Q(status__in=["queued", "running"]),
                name="run_one_in_flight_per_question",
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


class Measurement(models.Model):
    """One number that a run earned, and its verdict against the claim it re-measures."""

    class Verdict(models.TextChoices):
        REPRODUCED = "reproduced"
        SAME_DIRECTION = "same_direction", "same direction"
        NOT_REPRODUCED = "not_reproduced", "not reproduced"
        INCONCLUSIVE = "inconclusive"
        NOT_COMPARABLE = "not_comparable", "not comparable"
        INVALID = "invalid", "invalid: a quality guard failed"

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="measurements")
    name = models.SlugField(max_length=60, help_text="Its name within the recipe")
    label = models.CharField(max_length=200)
    metric = models.CharField(max_length=40)
    claim = models.ForeignKey(Claim, null=True, on_delete=models.SET_NULL, related_name="measurements")
    value = models.FloatField()
    low = models.FloatField()
    high = models.FloatField()
    n = models.PositiveIntegerField()
    unit = models.CharField(max_length=120, blank=True)
    predicted = models.FloatField(null=True, help_text="Roofline prediction on this hardware")
    predicted_note = models.TextField(blank=True)
    noise = models.FloatField(null=True, help_text="A/A noise floor, relative")
    detail = models.JSONField(default=dict)
    headline = models.BooleanField(default=False)
    verdict = models.CharField(max_length=15, choices=Verdict)
    verdict_reason = models.TextField()
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["run_id", "position"]
        constraints = [
            models.UniqueConstraint(fields=["run", "name"], name="measurement_once_per_run"),
            models.CheckConstraint(
                condition=Q(low__lte=F("value"), high__gte=F("value")), name="measurement_in_interval"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.run_id}: {self.name}"
