"""Energy (profile E1): joules of a GPU over a window in which one piece of work repeats."""

import time
from collections.abc import Callable
from typing import Any

import torch

from reproduce.recipes.gpu import Gpu
from reproduce.recipes.ranks import agreed
from reproduce.recipes.toolbox import synchronise


def energy(
    work: Callable[[int], object], gpu: Gpu | None, seconds: float, idle_w: float | None
) -> dict[str, Any]:
    """Joules a call by the driver's counter, with and without the idle power; null with a reason.

    The counter moves in steps of at most 0.1 s, so `seconds` should be 3 or more.
    """
    if gpu is None or gpu.millijoules() is None:
        return {"joules": None, "reason": "no energy counter on this device"}
    device, calls = torch.device("cuda", gpu.index), 0
    begun, before = time.perf_counter(), gpu.millijoules()
    while agreed(time.perf_counter() - begun < seconds, device):
        for _ in range(10):
            work(calls)
            calls += 1
        synchronise(device)
    spent, elapsed = (gpu.millijoules() - before) / 1000, time.perf_counter() - begun
    return {
        "joules": spent / calls,
        "joules_above_idle": None if idle_w is None else (spent - idle_w * elapsed) / calls,
        "watts": spent / elapsed,
        "calls": calls,
        "seconds": elapsed,
    }


def idle_watts(gpu: Gpu | None, seconds: float = 2.0) -> float | None:
    """Mean power while this process does nothing, with the GPU's memory held; null if it cannot be read."""
    if gpu is None or gpu.millijoules() is None:
        return None
    begun, before = time.perf_counter(), gpu.millijoules()
    time.sleep(seconds)
    return (gpu.millijoules() - before) / 1000 / (time.perf_counter() - begun)
