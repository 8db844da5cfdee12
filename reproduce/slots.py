"""The slots of one worker: each is a thread that takes one run after the other, on GPUs of its own.

A slot looks at the rows when the doorbell rings, and every few seconds without one: no message is needed.
"""

import fcntl
import logging
import os
import re
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from django.db import DatabaseError, InterfaceError, close_old_connections, connection

from reproduce import execution, gpus, lifecycle
from reproduce.lifecycle import Lease
from reproduce.models import Run, Worker

LOOK_AGAIN_S = 5
LAYOUT = re.compile(r"([1-9]\d?)x([1-9]\d?)")

logger = logging.getLogger(__name__)


class Slot(threading.Thread):
    """A place for one run at a time: `gpus` of this host, or one on the CPU where there are none."""

    def __init__(
        self, number: int, found: Sequence[dict[str, Any]] = (), left_open: Sequence[str] = ()
    ) -> None:
        super().__init__(name=f"slot-{number}")
        self.number, self.gpus, self.left_open = number, list(found), left_open
        self.device = "cuda" if found else "cpu"
        self.state, self.why = "idle", ""
        self.bell = threading.Event()

    @property
    def memory_gb(self) -> float:
        """Of the smallest of its GPUs; a CPU slot is not asked."""
        return min((gpu["memory_mb"] * 2**20 / 1e9 for gpu in self.gpus), default=float("inf"))

    def describe(self) -> dict[str, Any]:
        """What everyone may know of it, as Worker.slots keeps it."""
        return {
            "device": self.device,
            "gpus": [gpu["uuid"] for gpu in self.gpus],
            "name": ", ".join(dict.fromkeys(gpu["name"] for gpu in self.gpus)) or "CPU",
            "memory_gb": round(self.memory_gb, 1) if self.gpus else None,
            "state": self.state,
            "why": self.why,
        }

    def work_for(self, worker: Worker, stopping: threading.Event) -> None:
        """Begin to take runs, until `stopping` is set."""
        self._worker, self._stopping = worker, stopping
        self.start()

    def run(self) -> None:
        self.bell.set()
        while not self._stopping.is_set():
            self.bell.wait(LOOK_AGAIN_S)
            self.bell.clear()
            while not self._stopping.is_set() and self._take_one():
                continue
        connection.close()

    def _take_one(self) -> bool:
        """Claim a run and execute it to its end. False if there was none, or no GPU to run it on."""
        try:
            close_old_connections()
            with self._held_gpus() as free:
                if not free or self._lacks_room() or not (claimed := self._claim()):
                    return False
                self._execute(*claimed)
        except (DatabaseError, InterfaceError) as error:  # it restarts: look again in a moment
            logger.warning("%s: the database does not answer: %s", self.name, error)
            connection.close()
            return False
        except Exception:  # a slot that ends would be a place lost for good
            logger.exception("%s failed, and goes on", self.name)
            return False
        finally:
            if self.state == "busy":
                self.state = "idle"
        return True

    def _lacks_room(self) -> bool:
        """A full disk would fail one run after the other: leave them to other workers until it has room."""
        if why := execution.disk_fault():
            self.state, self.why = "blocked", why
        return bool(why)

    def _claim(self) -> tuple[Run, Lease] | None:
        name = self.gpus[0]["name"] if self.gpus else ""
        return lifecycle.claim(
            self._worker,
            self.device,
            len(self.gpus),
            memory_gb=self.memory_gb,
            slot=self.number,
            device_name=name,
        )

    def _execute(self, run: Run, lease: Lease) -> None:
        self.state, self.why = "busy", f"run {run.pk}"
        visible = [gpu["uuid"] for gpu in self.gpus[: run.gpus]]
        where = {"worker": self._worker.name, "gpus": visible, "left_open": self.left_open}
        execution.execute(run, lease, **where, stopping=self._stopping)

    @contextmanager
    def _held_gpus(self) -> Iterator[bool]:
        """Whether every GPU of the slot is ours: locked against other workers, and free of strangers."""
        with ExitStack() as held:
            self.state, self.why = "idle", ""
            for gpu in self.gpus:
                lock = lock_gpu(gpu["uuid"])
                if lock is None:
                    self.state, self.why = "blocked", f"another worker uses {gpu['uuid']}"
                    break
                held.callback(os.close, lock)
                if found := gpus.strangers(gpu["uuid"]):
                    self.state, self.why = "blocked", found
                    break
            yield self.state != "blocked"


class Slots:
    """All slots of this process. Empty until `manage.py worker` opens them."""

    def __init__(self) -> None:
        self._slots: list[Slot] = []
        self.stopping = threading.Event()

    def open(self, worker: Worker, slots: list[Slot]) -> None:
        """Let every slot begin to take runs for this worker."""
        self._slots = slots
        for slot in slots:
            slot.work_for(worker, self.stopping)

    def ring(self, device: str) -> None:
        """Somebody rang: have every slot of that device class look at the rows."""
        for slot in self._slots:
            if slot.device == device:
                slot.bell.set()

    def close(self) -> None:
        """Have every slot finish or hand back what it runs, and wait until all have."""
        self.stopping.set()
        for slot in self._slots:
            slot.bell.set()
        for slot in self._slots:
            slot.join()


def lay_out(layout: str, found: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """GPUs by slot. "2x1,1x2" is two slots of one and one of two; empty is a slot for each GPU.

    Raises ValueError with a sentence for an unreadable layout, or one that needs more than there are.
    """
    parts = layout.replace(" ", "").split(",") if layout else [f"{len(found)}x1"] if found else []
    sizes = []
    for part in parts:
        if not (match := LAYOUT.fullmatch(part)):
            raise ValueError(f"--slots {layout!r}: {part!r} is not of the form 2x1, slots times GPUs.")
        sizes += [int(match[2])] * int(match[1])
    if sum(sizes) > len(found):
        raise ValueError(f"--slots {layout!r} needs {sum(sizes)} GPUs, and {len(found)} were found here.")
    waiting = iter(found)
    return [[next(waiting) for _ in range(size)] for size in sizes]


def lock_gpu(uuid: str) -> int | None:
    """A descriptor that holds the lock file of a GPU of this host; None while another process holds it."""
    path = Path(tempfile.gettempdir()) / f"spectrum-gpu-{uuid}.lock"
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    with suppress(PermissionError):
        os.fchmod(lock, 0o666)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock


slots = Slots()
