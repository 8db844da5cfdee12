"""This host's GPUs as NVML sees them: which there are, who uses them, how much of their memory is taken.

Reads only. Without the library or a driver there are none, and a question NVML refuses is answered by None.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pynvml

SETTLED_MB = 64  # what a driver may keep or give back by itself between two looks


def find_gpus() -> list[dict[str, Any]]:
    """This host's GPUs as [{uuid, name, memory_mb}]; only those of CUDA_VISIBLE_DEVICES if that is set."""
    with _nvml() as ready:
        if not ready:
            return []
        found = [_described(pynvml.nvmlDeviceGetHandleByIndex(i)) for i in range(pynvml.nvmlDeviceGetCount())]
    return _visible(found)


def driver_version() -> str:
    """The driver's version; empty without one."""
    with _nvml() as ready:
        return str(pynvml.nvmlSystemGetDriverVersion()) if ready else ""


def used_mb(uuid: str) -> int | None:
    """Memory of a GPU that is taken, by anybody."""
    return _ask(uuid, lambda gpu: pynvml.nvmlDeviceGetMemoryInfo(gpu).used // 2**20)


def strangers(uuid: str) -> str:
    """Who computes on a GPU that ought to be free, as a phrase; empty when nobody does."""
    running = _ask(uuid, pynvml.nvmlDeviceGetComputeRunningProcesses)
    if not running:
        return ""
    return f"{len(running)} process{'es' * (len(running) > 1)} of somebody else on {uuid}"


class GpuMemory:
    """What is taken of some GPUs' memory before a run begins, to see afterwards that all of it came back."""

    def __init__(self, uuids: Sequence[str]) -> None:
        self.uuids = list(uuids)
        self._before = [used_mb(uuid) for uuid in self.uuids]

    def still_taken(self, limit_s: float) -> list[str]:
        """Wait for the memory to come back; what did not within the limit, as phrases."""
        end = time.monotonic() + limit_s
        while kept := self._taken():
            if time.monotonic() > end:
                break
            time.sleep(0.1)
        return kept

    def _taken(self) -> list[str]:
        more = [
            (now - before, uuid)
            for uuid, before in zip(self.uuids, self._before, strict=True)
            if before is not None and (now := used_mb(uuid)) is not None and now > before + SETTLED_MB
        ]
        return [f"{megabytes} MB of {uuid}" for megabytes, uuid in more]


def _visible(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """An operator may keep GPUs from Spectrum as from any CUDA program: by index or by UUID."""
    wanted = os.environ.get("CUDA_VISIBLE_DEVICES")
    if wanted is None:
        return found
    names = [name.strip() for name in wanted.split(",") if name.strip()]
    return [
        gpu
        for number, gpu in enumerate(found)
        if any(name == str(number) or gpu["uuid"].startswith(name) for name in names)
    ]


def _described(handle: Any) -> dict[str, Any]:
    return {
        "uuid": pynvml.nvmlDeviceGetUUID(handle),
        "name": pynvml.nvmlDeviceGetName(handle),
        "memory_mb": pynvml.nvmlDeviceGetMemoryInfo(handle).total // 2**20,
    }


def _ask(uuid: str, question: Callable[[Any], Any]) -> Any:
    with _nvml() as ready:
        if not ready:
            return None
        try:
            return question(pynvml.nvmlDeviceGetHandleByUUID(uuid))
        except pynvml.NVMLError:
            return None


@contextmanager
def _nvml() -> Iterator[bool]:
    """NVML for the length of a question; whether it could be had. It counts its users, so nesting is fine."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        yield False
        return
    try:
        yield True
    finally:
        pynvml.nvmlShutdown()
