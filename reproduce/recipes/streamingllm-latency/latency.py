"""Milliseconds a token at 7B shape, one sequence: a window recomputed, and sinks with a rolling cache."""

from functools import partial

import torch

from reproduce.recipes.blocks.decodestack import Shape
from reproduce.recipes.blocks.decoding import DECODE, capture
from reproduce.recipes.context import Context, curve, level
from reproduce.recipes.intervals import Interval
from reproduce.recipes.roofline import Probe
from reproduce.recipes.toolbox import Comparison, compare, profile, release

from .decoder import Decoder

SHAPES = {
    "tiny": Shape(2, 64, 2, 2, 32, 176, gated=True, vocabulary=256),
    "7B": Shape(32, 4096, 32, 32, 128, 11_008, gated=True, vocabulary=32_000),
}
CLAIMED = 22.2
SINKS = 4


def measure(context: Context, ceilings: Probe) -> None:
    """Measures speedup, the largest over cache sizes; charts gains and times."""
    shape, sizes = SHAPES[context["shape"]], sorted(context["sizes"])
    dtype = torch.float16 if context.device.type == "cuda" else torch.float32
    decoder = Decoder.random(shape, dtype, context.device)
    found, limits = {}, {}
    for number, size in enumerate(sizes):
        context.progress(0.15 + 0.45 * number / len(sizes), f"a cache of {size} tokens")
        found[size] = _compare(context, decoder, size, dtype)
        limits[size] = _least(ceilings, shape, size, dtype.itemsize)
        release(context.device)
    gains = {size: comparison.speedup("streaming") for size, comparison in found.items()}
    best = max(gains, key=lambda size: gains[size].value)
    recomputed, streamed = (found[best].median(arm).value for arm in ("recomputed", "streaming"))
    context.measure(
        "speedup",
        gains[best],
        predicted=limits[best][0] / limits[best][1],
        predicted_note=f"{limits[best][0]:.3g} ms of arithmetic for the window, {limits[best][1]:.3g} ms "
        "to read weights and cache.",
        noise=found[best].noise(),
        detail={
            "cache": best,
            "fraction_of_limit": {
                "candidate": limits[best][1] / streamed,
                "baseline": limits[best][0] / recomputed,
            },
            "speedup_by_cache": {str(size): gain.value for size, gain in gains.items()},
            "arms": found[best].figures(),
        },
    )
    context.chart(
        "speedup",
        "A token with sinks and rolling cache against a recomputed window, 7B shape",
        ("Cache", "tokens", True),
        ("Speed-up", "x", True),
        [
            curve("measured", sizes, list(gains.values())),
            {"label": "roofline limit", "x": sizes, "y": [limits[n][0] / limits[n][1] for n in sizes]},
            level("claimed by the paper", sizes, CLAIMED),
        ],
    )
    context.chart(
        "latency",
        "Time of a token, 7B shape, one sequence",
        ("Cache", "tokens", True),
        ("Time", "ms", True),
        [curve(arm, sizes, _medians(list(found.values()), arm)) for arm in ("recomputed", "streaming")],
    )


def _compare(context: Context, decoder: Decoder, size: int, dtype: torch.dtype) -> Comparison:
    window = torch.randn(size, decoder.shape.width, dtype=dtype, device=context.device)
    cache = decoder.cache(size, SINKS)
    attend = decoder.kernel(cache, context.log)
    arms = {
        "recomputed": capture(partial(decoder.window, window), context.device),
        "streaming": capture(partial(decoder.step, window[-1:], cache, attend), context.device),
    }
    last = size == max(context["sizes"])
    how = profile(context.preset, DECODE, max_s=3.0 if last else 0.8)
    found = compare(arms, "recomputed", how, context.device)
    if last:
        context.keep("token", found)
    else:
        context.samples[f"token, cache of {size}"] = dict(found.samples)
    return found


def _least(ceilings: Probe, shape: Shape, size: int, itemsize: int) -> tuple[float, float]:
    """Least milliseconds of a recomputed window, causal, and of a step."""
    meet = 4 * shape.layers * shape.heads * shape.head_width * size**2 / 2
    body = shape.weights - shape.width * shape.vocabulary
    window = ceilings.least_time(2 * body * size + meet, itemsize * shape.weights)
    step = ceilings.least_time(shape.step_flop(1, size), shape.step_bytes(1, size, itemsize))
    return window * 1e3, step * 1e3


def _medians(found: list[Comparison], arm: str) -> list[Interval]:
    return [comparison.median(arm) for comparison in found]
