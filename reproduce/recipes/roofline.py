"""What this hardware could do at best: a three-second probe, and the least time for given work.

Source: RECIPES, part A.4. Rates are FLOP/s and B/s, times seconds.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from statistics import median

import torch
import torch.distributed as dist

from reproduce.recipes.toolbox import synchronise


@dataclass(frozen=True)
class Probe:
    """Ceilings seen on this device just now; a rate that cannot be had here is None."""

    half: float  # bf16 matrix products with fp32 accumulation, FLOP/s
    single: float  # fp32 matrix products, FLOP/s
    eighth: float | None  # fp8 matrix products, FLOP/s
    copy: float  # device copy, bytes read plus bytes written a second
    launch: float  # seconds from one empty kernel to the next
    all_reduce: float | None = None  # bus bandwidth of a sum over all GPUs of the run, B/s; None for one

    def least_time(self, flop: float = 0, moved: float = 0, launches: int = 0, rate: str = "half") -> float:
        """Seconds under which this work cannot be done: the largest of arithmetic, bytes and launches."""
        return max(flop / getattr(self, rate), moved / self.copy, launches * self.launch)

    def record(self) -> dict[str, float | None]:
        """For the provenance record."""
        return asdict(self)


def probe(device: torch.device) -> Probe:
    """Measures the ceilings on random data: about three seconds on a GPU, a fraction of one on a CPU."""
    gpu = device.type == "cuda"
    size, seconds = (8192, 0.5) if gpu else (384, 0.05)
    return Probe(
        half=_product_rate(size, torch.bfloat16 if gpu else torch.float32, device, seconds),
        single=_product_rate(size // 2, torch.float32, device, seconds),
        eighth=_fp8_rate(size, device, seconds) if gpu else None,
        copy=_copy_rate(2**31 if gpu else 2**24, device, seconds),
        launch=_launch_gap(device),
        all_reduce=_all_reduce_rate(2**28 if gpu else 2**20, device) if several() else None,
    )


def several() -> bool:
    """Whether this run has more processes than this one."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def _product_rate(size: int, dtype: torch.dtype, device: torch.device, seconds: float) -> float:
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    return 2 * size**3 / _time(lambda: a @ b, device, seconds)


def _fp8_rate(size: int, device: torch.device, seconds: float) -> float | None:
    if torch.cuda.get_device_capability(device) < (8, 9):
        return None
    a, b = (torch.randn(size, size, device=device).to(torch.float8_e4m3fn) for _ in range(2))
    one = torch.ones((), device=device)
    product = partial(torch._scaled_mm, a, b.t(), scale_a=one, scale_b=one, out_dtype=torch.bfloat16)
    return 2 * size**3 / _time(product, device, seconds)


def _copy_rate(size: int, device: torch.device, seconds: float) -> float:
    source = torch.randint(0, 255, (size,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * size / _time(lambda: target.copy_(source), device, seconds)


def _all_reduce_rate(size: int, device: torch.device, count: int = 20) -> float:
    """As NCCL's tests count: each of n GPUs sends and receives 2 (n - 1) / n of `size` bytes."""
    terms, ranks = torch.randn(size // 2, device=device).bfloat16(), dist.get_world_size()
    times = []
    for _ in range(count + 1):  # as often in every process; the first makes the connections
        synchronise(device)
        begun = time.perf_counter()
        dist.all_reduce(terms, op=dist.ReduceOp.MAX)
        synchronise(device)
        times.append(time.perf_counter() - begun)
    return 2 * (ranks - 1) / ranks * size / median(times[1:])


def _launch_gap(device: torch.device, count: int = 1000) -> float:
    one = torch.zeros(1, device=device)
    one.add_(1)
    synchronise(device)
    begun = time.perf_counter()
    for _ in range(count):
        one.add_(1)
    synchronise(device)
    return (time.perf_counter() - begun) / count


def _time(work: Callable[[], object], device: torch.device, seconds: float) -> float:
    """Median seconds of a call, after one warm-up call, over blocks of ten calls."""
    work()
    synchronise(device)
    begun, blocks = time.perf_counter(), []
    while not blocks or time.perf_counter() - begun < seconds:
        start = time.perf_counter()
        for _ in range(10):
            work()
        synchronise(device)
        blocks.append((time.perf_counter() - start) / 10)
    return median(blocks)
