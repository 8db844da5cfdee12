"""The workers as everyone may see them: who is alive, how long the queue is, how long a run will take."""

import os
import platform
import threading
from datetime import timedelta
from importlib import metadata
from statistics import median
from typing import Any

import pynvml
from django.db import DatabaseError, close_old_connections, connection
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from reproduce.models import Run, Worker

ANNOUNCE_S = 5
SILENT = timedelta(seconds=30)
HISTORY = 20


def alive_workers() -> QuerySet[Worker]:
    """Workers heard of lately that have not said goodbye."""
    return Worker.objects.filter(seen__gt=Now() - SILENT, stopped__isnull=True)


def can_serve(device: str) -> bool:
    """Whether some living worker has a slot of that device class, free or not."""
    able = ~Q(gpus=[]) if device == "cuda" else Q(cpu_slots__gt=0)
    return alive_workers().filter(able).exists()


def queue_position(run: Run) -> int | None:
    """1 for the next waiting run of its device class by priority and age; None when it does not wait.

    Fairness between users may let a later run go first, so this is the latest place, not a promise.
    """
    if run.status != Run.Status.QUEUED:
        return None
    ahead = Q(priority__gt=run.priority) | Q(priority=run.priority, pk__lt=run.pk)
    return 1 + Run.objects.filter(ahead, status="queued", device=run.device).count()


def estimate_s(run: Run) -> float | None:
    """Median seconds of the latest finished runs of this recipe and preset; None without any.

    What strangers' machines took tells nothing of ours.
    """
    past = Run.objects.filter(recipe=run.recipe, preset=run.preset, status="done", device=run.device)
    past = past.exclude(origin=Run.Origin.CONTRIBUTED)
    seconds = [
        done.duration for done in past.only("started", "finished")[:HISTORY] if done.duration is not None
    ]
    return median(seconds) if seconds else None


def announce(cpu_slots: int, gpus: list[dict[str, Any]]) -> Worker:
    """Enter this process into the list of workers."""
    host = platform.node()
    return Worker.objects.create(
        name=f"{host}-{os.getpid()}-{os.urandom(2).hex()}",
        host=host,
        pid=os.getpid(),
        cpu_slots=cpu_slots,
        gpus=gpus,
        versions=versions(),
        started=Now(),
        seen=Now(),
    )


def keep_announcing(worker: Worker, stopping: threading.Event) -> None:
    """Say "I live" until told to stop, then say goodbye. A database that is away is only waited for."""
    while not stopping.wait(ANNOUNCE_S):
        _say(worker, seen=Now())
    _say(worker, seen=Now(), stopped=Now())
    connection.close()


def versions() -> dict[str, str]:
    """The software a reader wants to know of, without importing any of it."""
    return {"python": platform.python_version(), **{name: _installed(name) for name in ("torch", "numpy")}}


def find_gpus() -> list[dict[str, Any]]:
    """This host's GPUs as [{uuid, name, memory_mb}], from NVML; none without the library or a driver."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        return [_gpu(pynvml.nvmlDeviceGetHandleByIndex(i)) for i in range(pynvml.nvmlDeviceGetCount())]
    finally:
        pynvml.nvmlShutdown()


def _gpu(handle: Any) -> dict[str, Any]:
    memory_mb = pynvml.nvmlDeviceGetMemoryInfo(handle).total // 2**20
    return {
        "uuid": pynvml.nvmlDeviceGetUUID(handle),
        "name": pynvml.nvmlDeviceGetName(handle),
        "memory_mb": memory_mb,
    }


def _installed(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _say(worker: Worker, **fields: object) -> None:
    try:
        close_old_connections()
        Worker.objects.filter(pk=worker.pk).update(**fields)
    except DatabaseError:
        connection.close()
