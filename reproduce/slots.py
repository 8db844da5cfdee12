"""The slots of one worker process: which runs it may execute at the same time, and on which GPUs."""

import fcntl
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from django.db import close_old_connections

from reproduce import doorbell, execution, lifecycle
from reproduce.models import Run, Worker


class Slots:
    """Thread-safe. Empty until `open` is called by `manage.py worker`; then `serve` answers doorbells."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cpu_slots = 0
        self._gpus: list[str] = []
        self.worker: Worker | None = None
        self.stopping = threading.Event()

    def open(self, worker: Worker) -> None:
        self.worker = worker
        self._cpu_slots = worker.cpu_slots
        self._gpus = [gpu["uuid"] for gpu in worker.gpus]

    def serve(self, device: str) -> None:
        """Claim and execute one run after the other until none waits or no slot is free."""
        while not self.stopping.is_set():
            with self._hold(device) as held:
                if held is None:
                    return
                run, lease, gpus = held
                doorbell.ring(device)  # another slot may serve what else is waiting
                close_old_connections()
                execution.execute(run, lease, worker=self.worker.name, gpus=gpus, stopping=self.stopping)

    @contextmanager
    def _hold(self, device: str) -> Iterator[tuple[Run, lifecycle.Lease, list[str]] | None]:
        """A claimed run, its lease and the GPUs it may use, given back at the end; None if nothing to do."""
        with self._lock:
            locks = (
                {uuid: lock for uuid in self._gpus if (lock := lock_gpu(uuid))} if device == "cuda" else {}
            )
            free = len(locks) if device == "cuda" else self._cpu_slots
            claimed = lifecycle.claim(self.worker, device, free) if free else None
            gpus = list(locks)[: claimed[0].gpus] if claimed else []
            for uuid in set(locks) - set(gpus):
                locks.pop(uuid).close()
            if claimed and device == "cpu":
                self._cpu_slots -= 1
            self._gpus = [uuid for uuid in self._gpus if uuid not in gpus]
        try:
            yield (*claimed, gpus) if claimed else None
        finally:
            with self._lock:
                if claimed and device == "cpu":
                    self._cpu_slots += 1
                self._gpus += gpus
                for lock in locks.values():
                    lock.close()


def lock_gpu(uuid: str) -> IO[str] | None:
    """The lock file that says a GPU of this host is in use, held; None while another process holds it."""
    path = Path(tempfile.gettempdir()) / f"spectrum-gpu-{uuid}.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    with suppress(PermissionError):
        os.fchmod(descriptor, 0o666)
    file = os.fdopen(descriptor, "r+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


slots = Slots()
