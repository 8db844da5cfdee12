"""The workers as everyone may see them: who is alive, how long the queue is, how long a run will take."""

import logging
import os
import platform
import signal
import threading
from collections.abc import Sequence
from datetime import timedelta
from importlib import metadata
from typing import Any

from django.db import DatabaseError, InterfaceError, close_old_connections, connection
from django.db.models import QuerySet
from django.db.models.functions import Now

from reproduce import execution, gpus, lifecycle
from reproduce.models import Run, Worker
from reproduce.slots import Slot

ANNOUNCE_S = 5
SILENT = timedelta(seconds=30)

logger = logging.getLogger(__name__)


def alive_workers() -> QuerySet[Worker]:
    """Workers heard of lately that have not said goodbye."""
    return Worker.objects.filter(seen__gt=Now() - SILENT, stopped__isnull=True)


def can_serve(device: str, gpus: int = 1, memory_gb: float = 0, labels: Sequence[str] = ()) -> bool:
    """Whether some living worker that takes runs has a slot for such a run, free or not."""
    return bool(_able(device, gpus, memory_gb, labels))


def can_serve_run(run: Run) -> bool:
    """Whether some living worker could take this run."""
    return bool(able_workers(run))


def able_workers(run: Run) -> list[Worker]:
    """The living workers that take runs and have a slot for this one, free or not."""
    return _able(run.device, run.gpus, run.memory_gb, run.labels)


def _able(device: str, gpus: int, memory_gb: float, labels: Sequence[str]) -> list[Worker]:
    willing = alive_workers().filter(orders=Worker.Orders.SERVE, labels__contains=list(labels))
    return [w for w in willing if any(_fits(slot, device, gpus, memory_gb) for slot in w.slots)]


def _fits(slot: dict[str, Any], device: str, gpus: int, memory_gb: float) -> bool:
    if slot["device"] != device:
        return False
    return device == "cpu" or (len(slot["gpus"]) >= gpus and slot["memory_gb"] >= memory_gb)


def labels() -> list[str]:
    """Every label that some living worker has: what a run may ask for and get."""
    return sorted({label for worker in alive_workers() for label in worker.labels})


def slots_of(device: str) -> int:
    """How many slots of a device class the living workers have that take runs."""
    able = alive_workers().filter(orders=Worker.Orders.SERVE)
    return sum(slot["device"] == device for worker in able for slot in worker.slots)


def give_orders(worker: Worker, orders: str, *, who: str) -> bool:
    """Tell a worker to serve, pause or drain. False when it has left, or is told so already."""
    same = Worker.objects.filter(pk=worker.pk, stopped=None).exclude(orders=orders)
    return bool(same.update(orders=orders, ordered_by=who, ordered=Now()))


def announce(
    slots: Sequence[Slot],
    found: list[dict[str, Any]],
    labels: Sequence[str],
    left_open: Sequence[str] = (),
) -> Worker:
    """Enter this process into the list of workers."""
    host, software = platform.node(), versions() | {"left_open": ", ".join(left_open)}
    own = {f"torch {software['torch']}", *(gpu["name"] for gpu in found)}
    return Worker.objects.create(
        name=f"{host}-{os.getpid()}-{os.urandom(2).hex()}",
        host=host,
        pid=os.getpid(),
        gpus=found,
        slots=[slot.describe() for slot in slots],
        labels=sorted(own | set(labels)),
        versions=software,
        started=Now(),
        seen=Now(),
    )


def keep_house(worker: Worker, slots: Sequence[Slot], stopping: threading.Event) -> None:
    """Say "I live", sweep and tidy up until told to stop, then say goodbye. Survives a database that is away.

    Each worker sweeps, so that the pool needs no clock and no broker to find what was lost.
    """
    while not stopping.wait(ANNOUNCE_S):
        if _quietly(lambda: _announce_again(worker, slots)) == Worker.Orders.DRAIN and _is_idle(worker):
            logger.info("%s is drained, and leaves", worker.name)
            os.kill(os.getpid(), signal.SIGTERM)
        _quietly(lifecycle.sweep)
        _quietly(execution.clear_leftovers)
    for slot in slots:
        slot.join()
    _quietly(lambda: _say(worker, stopped=Now()))
    connection.close()


def _announce_again(worker: Worker, slots: Sequence[Slot]) -> str:
    """Tell how the slots are; what this worker's operators want of it."""
    _say(worker, slots=[slot.describe() for slot in slots])
    return Worker.objects.values_list("orders", flat=True).get(pk=worker.pk)


def _is_idle(worker: Worker) -> bool:
    """Nothing runs, and nothing can begin to: a claim looks at the orders itself."""
    return _quietly(lambda: Run.objects.filter(worker=worker, status="running").exists()) is False


def versions() -> dict[str, str]:
    """The software a reader wants to know of, without importing any of it."""
    installed = {name: _installed(name) for name in ("torch", "numpy")}
    return {"python": platform.python_version(), **installed, "driver": gpus.driver_version()}


def _installed(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _say(worker: Worker, **fields: object) -> None:
    Worker.objects.filter(pk=worker.pk).update(seen=Now(), **fields)


def _quietly(act: Any) -> Any:
    """The answer; None while the database is away."""
    try:
        close_old_connections()
        return act()
    except (DatabaseError, InterfaceError):
        connection.close()
        return None
