"""Greedy decoding with the paper's decoder: the mean step of a 128-token translation, over batches."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from reproduce.recipes.blocks.decodestack import Shape, Stack
from reproduce.recipes.blocks.decoding import DECODE, capture, midpoints, over_batches, report
from reproduce.recipes.context import Context, curve, level
from reproduce.recipes.memory import tensor_bytes
from reproduce.recipes.roofline import Probe
from reproduce.recipes.toolbox import Comparison, compare, profile

CLAIMED = 12.1
POSITIONS = 8  # steps timed, at the middle of as many spans of the translation
HEADS, VOCABULARY = 8, 32  # heads; vocabulary in widths: 32 768 tokens
ARMS = {"multi-head": HEADS, "multi-query": 1}  # key heads
PAIR = ("multi-query", "multi-head")
NOTE = f"{POSITIONS} steps, the larger of bytes and arithmetic:"


@dataclass(frozen=True)
class Found:
    """At one batch: times of as many steps as there are positions, kernels, and bytes of a token's cache."""

    times: Comparison
    chosen: Mapping[str, Any]
    token_bytes: Mapping[str, float]


def shape_of(context: Context, kv_heads: int) -> Shape:
    """The paper's decoder; the feed-forward is wider with one key head, by 1344 at width 1024."""
    width, length = context["width"], context["length"]
    hidden = 4 * width if kv_heads > 1 else 4 * width + 21 * width // 16
    layers = context["layers"]
    return Shape(layers, width, HEADS, kv_heads, width // HEADS, hidden, False, length, VOCABULARY * width)


def dtype_of(device: torch.device) -> torch.dtype:
    """bf16 on a GPU."""
    return torch.bfloat16 if device.type == "cuda" else torch.float32


def measure(context: Context, ceilings: Probe) -> None:
    """Measures speedup_greedy and cache_bytes_per_token; charts the speed-up over batches."""
    batches = sorted({*context["batches"], context["batch"]})

    def one(batch: int) -> Found:
        context.progress(0.12 + 0.2 * batches.index(batch) / len(batches), f"greedy decoding, batch {batch}")
        return _at_batch(context, batch)

    found = over_batches(batches, one, context.device, context.log)
    for batch, each in found.items():
        if batch != context["batch"]:
            context.samples[f"greedy, batch {batch}"] = dict(each.times.samples)
    headline = found[context["batch"]]
    context.keep("greedy", headline.times)
    least = _least(context, ceilings, context["batch"])
    report(context, "speedup_greedy", headline.times, PAIR, least, NOTE, kernels=headline.chosen)
    context.measure(
        "cache_bytes_per_token",
        headline.token_bytes["multi-query"],
        detail={"bytes_per_token": dict(headline.token_bytes)},
    )
    _chart(context, ceilings, found)


def _at_batch(context: Context, batch: int) -> Found:
    device, length = context.device, context["length"]
    x = torch.randn(batch, context["width"], dtype=dtype_of(device), device=device)
    works, chosen, token_bytes = {}, {}, {}
    at = midpoints(length, POSITIONS)
    for arm, kv_heads in ARMS.items():
        stack = Stack.random(shape_of(context, kv_heads), batch, length, dtype_of(device), device)
        stack.choose(context.log, length, at[0] + 1)
        chosen[arm] = stack.chosen
        works[arm] = capture(lambda stack=stack: [stack.step(x, position) for position in at][-1], device)
        kept = [t for c in [*stack.caches, *stack.memories] for t in (c.keys, c.values)]
        token_bytes[arm] = tensor_bytes(kept) / batch / (2 * length)
    seconds = 3.0 if batch == context["batch"] else 0.5
    times = compare(works, "multi-head", profile(context.preset, DECODE, max_s=seconds), device)
    return Found(times, chosen, token_bytes)


def _least(context: Context, ceilings: Probe, batch: int) -> dict[str, float]:
    """Milliseconds under which all the timed steps cannot be done."""
    shapes = {arm: shape_of(context, kv_heads) for arm, kv_heads in ARMS.items()}
    positions = midpoints(context["length"], POSITIONS)
    return {
        arm: 1e3
        * sum(
            ceilings.least_time(shape.step_flop(batch, n + 1), shape.step_bytes(batch, n + 1))
            for n in positions
        )
        for arm, shape in shapes.items()
    }


def _chart(context: Context, ceilings: Probe, found: Mapping[int, Found]) -> None:
    batches = list(found)
    least = [_least(context, ceilings, batch) for batch in batches]
    limit = [each["multi-head"] / each["multi-query"] for each in least]
    speedups = [each.times.speedup("multi-query", "multi-head") for each in found.values()]
    context.chart(
        "speedup",
        f"Greedy decoding of {context['length']} tokens with the paper's decoder",
        ("Batch", "sequences", True),
        ("Speed-up of multi-query attention", "x", True),
        [
            curve("measured", batches, speedups),
            {"label": "roofline limit", "x": batches, "y": limit},
            level("claimed by the paper", batches, CLAIMED),
        ],
    )
