"""Several processes of one run, one a GPU, as torchrun starts them: they begin, agree, end and fail together.

The first of them (rank 0) alone writes the bundle; the others tell it by torchrun's store how they fared.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

WAIT = timedelta(minutes=5)  # the longest that one process waits for another, so that none waits for ever
WATCH_S = 0.2
KILLED_S = 1  # torchrun needs less to notice that a process was killed, and to end the others
GRACE_S = 30  # for the first process to write what another told it, before that one ends by itself


class Ranks:
    """This process among those of its run; alone it is the first of one."""

    def __init__(self, device: torch.device, several: bool) -> None:
        """Joins the others, if the recipe runs in several processes."""
        self.rank, self.size = 0, 1
        if several:
            self.rank, self.size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        self._ending, self._settled = threading.Lock(), threading.Event()
        self._watcher: threading.Thread | None = None
        if self.size > 1:
            self._store = next(dist.rendezvous("env://", timeout=WAIT))[0]
            backend = "nccl" if device.type == "cuda" else "gloo"
            dist.init_process_group(
                backend, store=self._store, rank=self.rank, world_size=self.size, timeout=WAIT
            )

    def begin(self) -> None:
        """The first lets the others begin, once it saw who else used the GPUs; the others wait for that."""
        if self.size == 1:
            return
        if self.rank == 0:
            self._store.set("begun", "")
        else:
            self._store.wait(["begun"], WAIT)

    def watch(self, tell: Callable[[dict[str, str]], None]) -> None:
        """In the first: once another failed, `tell` how and end, whatever this one is waiting for."""
        if self.size > 1:
            self._watcher = threading.Thread(target=self._watch, args=[tell], name="ranks", daemon=True)
            self._watcher.start()

    def gather(self) -> tuple[list[dict[str, Any]], dict[str, str] | None]:
        """In the first: what the others hand over once they are done, and the failure if one never is."""
        names = [f"done {rank}" for rank in range(1, self.size)]
        try:
            for name in names:
                self._store.wait([name], WAIT)
        except dist.DistStoreError:
            return [], {
                "kind": "recipe_error",
                "message": f"The first process was done, and others were not {WAIT.seconds} s later.",
            }
        return [json.loads(self._store.get(name)) for name in names], None

    def settle(self, failed: bool) -> None:
        """In the first: from here on it is too late for another to fail.

        If this one failed, another may have been killed and its silence be why: then torchrun speaks for it.
        """
        if failed and self.size > 1:
            time.sleep(KILLED_S)
        self._ending.acquire()  # never, if another failed first: then the watcher ends this process
        self._settled.set()
        if self._watcher:
            self._watcher.join()

    def done(self, found: dict[str, Any]) -> None:
        """In the others: hands over what the bundle should say of this process."""
        self._store.set(f"done {self.rank}", json.dumps(found))

    def failed(self, failure: dict[str, str]) -> None:
        """In the others: tells the first how this one failed, and waits to be ended with it."""
        self._store.set("failed", json.dumps(failure))
        time.sleep(GRACE_S)
        _exit(1)

    def _watch(self, tell: Callable[[dict[str, str]], None]) -> None:
        store = self._store.clone()  # a connection of its own: the other may be waiting
        while not store.check(["failed"]):
            if self._settled.wait(WATCH_S):
                return
        if self._ending.acquire(blocking=False):
            try:
                tell(json.loads(store.get("failed")))
            finally:
                _exit(1)


def agreed(mine: bool, device: torch.device) -> bool:
    """What the first process decided; alone, what this one did.

    A clock that tells each when to stop would leave one waiting for the other in a collective.
    """
    if not dist.is_initialized():
        return mine
    told = torch.tensor(int(mine), device=device)
    dist.broadcast(told, 0)
    return bool(told)


def leave(status: int) -> int:
    """Parts from the other processes and returns the status, or ends this process if something went wrong."""
    if not dist.is_initialized():
        return status
    if status:
        _exit(status)
    dist.destroy_process_group()
    return status


def _exit(status: int) -> None:
    """Ends at once: what waits in a collective that the others never join would hold up a clean end."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
