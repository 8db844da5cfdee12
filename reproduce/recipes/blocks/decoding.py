"""Decoding token by token (profile D1): static buffers, one CUDA graph a step, first token timed apart.

Queries are (batch, heads, queries, width), keys and values (batch, kv heads, length, width); all queries see
all keys. Times are milliseconds. Source: RECIPES, part A.5.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import torch
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from reproduce.recipes.blocks import flashdecode
from reproduce.recipes.context import Context
from reproduce.recipes.toolbox import Comparison, Profile, Work, release, synchronise

VERSION = 1
DECODE = Profile("D1 decode", 3, 0.02, 20, 0.3, 4.0, 0.005)
AGREES = 2e-2  # relative: half precision with another order of sums, no wrong mask or scale
Attend = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
Inputs = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # queries, keys, values
Log = Callable[[str], object]
Result = TypeVar("Result")


@dataclass
class KeyValues:
    """One layer's keys and values, (batch, kv heads, capacity, width) each, in buffers that never move."""

    keys: torch.Tensor
    values: torch.Tensor

    @classmethod
    def random(cls, size: tuple[int, int, int, int], dtype: torch.dtype, device: torch.device) -> "KeyValues":
        """As if `capacity` tokens had gone before; standard normal, never zeros."""
        return cls(*(torch.randn(size, dtype=dtype, device=device) for _ in range(2)))

    def put(self, position: int, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Stores one token's (batch, kv heads, width)."""
        self.keys[:, :, position] = keys
        self.values[:, :, position] = values

    def upto(self, end: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Views of the first `end` tokens."""
        return self.keys[:, :, :end], self.values[:, :, :end]


def capture(step: Callable[[], Any], device: torch.device, warm_up: int = 2) -> Work:
    """`step` as one CUDA graph; each call replays it and returns the same tensors. On a CPU `step` itself.

    The step must not wait for the device, and its shapes and Python numbers are those of now. It lives as
    long as the work does, and with it the tensors that it holds: a graph knows only their addresses.
    """
    if device.type != "cuda":
        return torch.no_grad()(lambda call=0: step())
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side), torch.no_grad():
        for _ in range(warm_up):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.no_grad(), torch.cuda.graph(graph):
        result = step()

    def replay(call: int = 0, *, kept: Callable[[], Any] = step) -> Any:
        graph.replay()
        return result

    return replay


def midpoints(length: int, count: int) -> list[int]:
    """The middle positions of `count` equal spans of 0..length: if cost is linear, their mean is the mean."""
    count = min(count, length)
    return [int((span + 0.5) * length / count) for span in range(count)]


def over_batches(
    batches: Iterable[int], measure: Callable[[int], Result], device: torch.device, log: Log
) -> dict[int, Result]:
    """What `measure` finds at each batch, rising; ends at the first that does not fit into memory."""
    found: dict[int, Result] = {}
    for batch in batches:
        try:
            found[batch] = measure(batch)
        except torch.OutOfMemoryError:
            log(f"A batch of {batch} does not fit into memory.")
            break
        finally:
            release(device)
    return found


def report(
    context: Context,
    name: str,
    times: Comparison,
    pair: tuple[str, str],
    least: Mapping[str, float],
    note: str,
    **detail: Any,
) -> None:
    """Reports the speed-up of pair[0] over pair[1] beside the ratio of the least times of both, in ms."""
    candidate, baseline = pair
    context.measure(
        name,
        times.speedup(candidate, baseline),
        predicted=least[baseline] / least[candidate],
        predicted_note=f"{note} {least[baseline]:.3g} ms against {least[candidate]:.3g} ms at least.",
        noise=times.noise(),
        detail={
            "baseline": baseline,
            "candidate": candidate,
            "arms": times.figures(),
            "fraction_of_limit": {
                side: least[arm] / times.median(arm).value
                for side, arm in (("candidate", candidate), ("baseline", baseline))
            },
            **detail,
        },
    )


@dataclass(frozen=True)
class Pace:
    """Whole generations: until the first token, prompt included, and the mean of each further one."""

    first: list[float]
    each: list[float]


def pace(
    prefill: Callable[[], object], steps: Sequence[Work], device: torch.device, repeats: int = 5
) -> Pace:
    """Runs the prompt and then every step, `repeats` times after one uncounted time."""
    found = Pace([], [])
    with torch.no_grad():
        for repeat in range(repeats + 1):
            marks = [_mark(device)]
            prefill()
            marks.append(_mark(device))
            for number, step in enumerate(steps):
                step(number)
            marks.append(_mark(device))
            synchronise(device)
            if repeat:
                found.first.append(_between(*marks[:2]))
                found.each.append(_between(*marks[1:]) / max(1, len(steps)))
    return found


def grouped(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """softmax(q k' / sqrt d) v by matrix products; queries that share a key head are rows of one product."""
    rows = (q * q.shape[-1] ** -0.5).reshape(*k.shape[:2], -1, k.shape[-1])
    return (torch.softmax(rows @ k.transpose(-2, -1), dim=-1) @ v).reshape(*q.shape[:3], v.shape[-1])


def fused(backend: SDPBackend | None = None) -> Attend:
    """One of PyTorch's fused kernels, or its own choice; RuntimeError if it does not take the tensors."""

    def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        grouped_heads = q.shape[1] != k.shape[1]
        if backend is None:
            return functional.scaled_dot_product_attention(q, k, v, enable_gqa=grouped_heads)
        with sdpa_kernel(backend):
            return functional.scaled_dot_product_attention(q, k, v, enable_gqa=grouped_heads)

    return attend


def ways(device: torch.device) -> dict[str, Attend]:
    """Every way of attending that this device may have, by the names used in results."""
    if device.type != "cuda":
        return {"grouped products": grouped, "fused": fused()}
    found = {
        "grouped products": grouped,
        "flash": fused(SDPBackend.FLASH_ATTENTION),
        "efficient": fused(SDPBackend.EFFICIENT_ATTENTION),
        "cudnn": fused(SDPBackend.CUDNN_ATTENTION),
    }
    return found | ({"split keys": flashdecode.attend} if flashdecode.AVAILABLE else {})


@dataclass(frozen=True)
class Choice:
    """The fastest way for some tensors, and the time of each way that was right, over all sets of inputs."""

    name: str
    attend: Attend
    milliseconds: Mapping[str, float]


def fastest(
    sets: Sequence[Inputs],
    device: torch.device,
    log: Log,
    among: Mapping[str, Attend] | None = None,
    also: Sequence[Inputs] = (),
) -> Choice:
    """Tries each way on sets of (q, k, v), larger together than the L2 cache, as one graph each.

    A way that fails on the first set or on one of `also`, which are not timed, or whose result is off that of
    64-bit arithmetic, is left out with a line to `log`. Raises RuntimeError if none is left.
    """
    tried = ways(device) if among is None else among
    times: dict[str, float] = {}
    for name, attend in tried.items():
        try:
            errors = [_error(attend, *each) for each in (sets[0], *also)]
            if not all(error <= AGREES for error in errors):  # one that is no number is wrong too
                off = ", ".join(f"{error:.2g}" for error in errors)
                log(f"{name}: left out, off by {off} from 64-bit arithmetic.")
                continue
            work = capture(partial(_all, attend, sets), device)
            times[name] = _quickest(work, device)
        except Exception as error:  # a kernel that cannot be had here fails in its own manner
            log(f"{name}: left out, {type(error).__name__}: {str(error)[:200]}")
    if not times:
        raise RuntimeError("No way of attending works for these tensors.")
    best = min(times, key=times.__getitem__)
    return Choice(best, tried[best], times)


def first_right(
    tried: Mapping[str, Result], error_of: Callable[[Result], float], limit: float, log: Log
) -> str:
    """The name of the first that works here with an error within `limit`; those before it are said to `log`.

    The last is taken even if it is wrong: that is for the recipe's guard to say.
    """
    *others, name = tried
    for other in others:
        try:
            error = error_of(tried[other])
            if error <= limit:
                return other
            log(f"{other}: left out, its error is {error:.2g}.")
        except Exception as error:  # a kernel that cannot be had here fails in its own manner
            log(f"{other}: left out, {type(error).__name__}: {str(error)[:200]}")
    return name


def _all(attend: Attend, sets: Sequence[Inputs]) -> None:
    for q, k, v in sets:
        attend(q, k, v)


@torch.no_grad()
def _error(attend: Attend, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> float:
    """Relative error of the last sequence's result."""
    found = attend(q, k, v)[-1:].double()
    exact = grouped(*(tensor[-1:].double() for tensor in (q, k, v)))
    return ((found - exact).norm() / exact.norm()).item()


def _quickest(work: Work, device: torch.device, calls: int = 3, blocks: int = 3) -> float:
    """The least milliseconds of a call over a few blocks of calls."""
    found = []
    for _ in range(blocks):
        synchronise(device)
        begun = time.perf_counter()
        for call in range(calls):
            work(call)
        synchronise(device)
        found.append((time.perf_counter() - begun) / calls * 1e3)
    return min(found)


def _mark(device: torch.device) -> Any:
    if device.type != "cuda":
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def _between(start: Any, end: Any) -> float:
    return (end - start) * 1e3 if isinstance(start, float) else start.elapsed_time(end)
