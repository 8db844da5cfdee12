"""Timing: the arms of a comparison interleaved on one device, every raw sample kept.

Profiles T1 (kernels) and T2 (model steps) follow RECIPES, part A.5; times are milliseconds.
"""

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from reproduce.recipes.intervals import Interval, median_of, olympic_mean, quantiles, ratio_of_medians
from reproduce.recipes.ranks import agreed

FLUSH_BYTES = 256 * 2**20  # several times the L2 cache of any GPU so far
AGAIN = " (again)"
LEAD_IN = 50  # writes of the flush buffer, about 3 ms: time to queue work after the device ran dry
Work = Callable[[int], object]  # gets the round's number, to rotate among sets of inputs


@dataclass(frozen=True)
class Profile:
    """How long to warm up and repeat; a block is one sample, `calls` calls long."""

    name: str
    warm_up_calls: int
    warm_up_s: float
    min_rounds: int
    min_s: float
    max_s: float
    half_width: float  # of every ratio to the baseline: narrow enough to stop at
    calls: int = 1
    flush: bool = True


KERNEL = Profile("T1 kernel", 5, 0.025, 30, 0.2, 6.0, 0.003)
STEP = Profile("T2 model step", 10, 0.0, 15, 10.0, 20.0, 0.003, calls=2, flush=False)
GLANCE = Profile("smoke", 1, 0.0, 5, 0.0, 0.15, 0.02)


def profile(preset: str, wanted: Profile, **changes: Any) -> Profile:
    """The wanted profile for "full"; for "smoke" a glance with the same code path."""
    return replace(wanted if preset == "full" else GLANCE, **(changes if preset == "full" else {}))


@dataclass(frozen=True)
class Comparison:
    """Samples of each arm, one a round, in milliseconds a call; sample i of all arms is the same round."""

    baseline: str
    profile: Profile
    samples: Mapping[str, list[float]]

    def median(self, arm: str) -> Interval:
        """Median time of an arm."""
        return median_of(self.samples[arm])

    def speedup(self, candidate: str, baseline: str = "") -> Interval:
        """Median time of the baseline (of this comparison unless named) divided by that of the candidate."""
        return ratio_of_medians(self.samples[baseline or self.baseline], self.samples[candidate])

    def again(self) -> Interval:
        """The baseline against itself (A/A): one, but for noise."""
        return ratio_of_medians(self.samples[self.baseline], self.samples[self.baseline + AGAIN])

    def noise(self) -> float:
        """Half-width of the A/A interval around one, relative: no smaller effect can be believed."""
        again = self.again()
        return max(abs(again.low - 1), abs(again.high - 1))

    def bias(self) -> float:
        """How far the A/A interval lies away from one; zero when it holds one."""
        again = self.again()
        return max(again.low - 1, 1 - again.high, 0.0)

    def figures(self) -> dict[str, dict[str, float]]:
        """For each arm: median, 20th and 80th percentile, minimum and trimmed mean, in milliseconds."""
        return {arm: _figures(values) for arm, values in self.samples.items()}

    def record(self) -> dict[str, Any]:
        """How it was timed, for the provenance record."""
        rounds = len(self.samples[self.baseline])
        return {**asdict(self.profile), "rounds": rounds, "baseline": self.baseline}


def compare(
    arms: Mapping[str, Work], baseline: str, how: Profile, device: torch.device, *, again: bool = True
) -> Comparison:
    """Times all arms in turn, A B A B, until narrow enough or out of time; no arm has a place of its own.

    The baseline also runs a second time each round (A/A). An arm's own error is the caller's to handle.
    """
    lanes = dict(arms) | ({baseline + AGAIN: arms[baseline]} if again else {})
    clock = _CudaClock(how.flush) if device.type == "cuda" else _WallClock()
    with _collector_off():
        for work in arms.values():
            _warm_up(work, how, device)
        samples = _rounds(lanes, baseline, how, clock, device)
    return Comparison(baseline, how, samples)


def _rounds(
    lanes: Mapping[str, Work], baseline: str, how: Profile, clock: Any, device: torch.device
) -> dict[str, list[float]]:
    samples: dict[str, list[float]] = {arm: [] for arm in lanes}
    begun = time.perf_counter()
    while True:
        number = len(samples[baseline])
        for arm, milliseconds in clock.round(order_of(list(lanes.items()), number), number, how.calls):
            samples[arm].append(milliseconds / how.calls)
        if agreed(_enough(samples, baseline, how, time.perf_counter() - begun), device):
            return samples


def order_of(lanes: list[Any], number: int) -> list[Any]:
    """The lanes as round `number` runs them: each comes first, second and last equally often."""
    shift = number // 2 % len(lanes)
    turned = lanes[shift:] + lanes[:shift]
    return turned[::-1] if number % 2 else turned


def _enough(samples: Mapping[str, list[float]], baseline: str, how: Profile, elapsed: float) -> bool:
    rounds = len(samples[baseline])
    if elapsed > how.max_s and rounds >= min(how.min_rounds, 5):
        return True
    if rounds < how.min_rounds or elapsed < how.min_s or rounds % 10:
        return False
    ratios = (ratio_of_medians(samples[baseline], values) for values in samples.values())
    return all(ratio.half_width <= how.half_width for ratio in ratios)


def _warm_up(work: Work, how: Profile, device: torch.device) -> None:
    """Compiles, autotunes and fills the allocator: at least the profile's calls and seconds."""
    begun, calls = time.perf_counter(), 0
    while agreed(calls < how.warm_up_calls or time.perf_counter() - begun < how.warm_up_s, device):
        work(calls)
        calls += 1
        synchronise(device)


class _CudaClock:
    """CUDA events around each block; the L2 cache is overwritten before it, outside the pair.

    A round begins with a lead-in: without it, its first arm alone would wait for its own launches.
    """

    def __init__(self, flush: bool) -> None:
        size = FLUSH_BYTES if flush else 0
        self._cache = torch.empty(size, dtype=torch.int8, device="cuda")

    def round(self, order: list[tuple[str, Work]], number: int, calls: int) -> Iterator[tuple[str, float]]:
        pairs = []
        for _ in range(LEAD_IN):
            self._cache.zero_()
        for arm, work in order:
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            self._cache.zero_()
            start.record()
            for call in range(calls):
                work(number * calls + call)
            end.record()
            pairs.append((arm, start, end))
        torch.cuda.synchronize()
        return ((arm, start.elapsed_time(end)) for arm, start, end in pairs)


class _WallClock:
    """perf_counter around each block, for a CPU."""

    def round(self, order: list[tuple[str, Work]], number: int, calls: int) -> Iterator[tuple[str, float]]:
        for arm, work in order:
            begun = time.perf_counter()
            for call in range(calls):
                work(number * calls + call)
            yield arm, (time.perf_counter() - begun) * 1e3


@contextmanager
def _collector_off() -> Iterator[None]:
    """Python's garbage collector would land in one arm's time and not in the other's."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _figures(values: list[float]) -> dict[str, float]:
    p20, p50, p80 = quantiles(values, [0.2, 0.5, 0.8])
    return {
        "median_ms": p50,
        "p20_ms": p20,
        "p80_ms": p80,
        "min_ms": min(values),
        "olympic_mean_ms": olympic_mean(values),
    }


def synchronise(device: torch.device) -> None:
    """Waits until the device has done all its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def release(device: torch.device) -> None:
    """Returns cached memory to the GPU, so that the next experiment starts from an empty allocator."""
    if device.type == "cuda":
        gc.collect(1)  # what was made lately; a full collection takes long once a compiler is loaded
        torch.cuda.empty_cache()
