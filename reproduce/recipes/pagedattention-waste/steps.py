"""What a step costs on this device: decoding by batch and layout, a prompt's tokens, and attention alone."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from reproduce.recipes.blocks.decoding import capture
from reproduce.recipes.context import Context, curve
from reproduce.recipes.intervals import Interval
from reproduce.recipes.roofline import Probe
from reproduce.recipes.toolbox import KERNEL, STEP, Comparison, compare, profile, release

from .decoder import PAGE, SHAPES, Cache, Shape, Stack, build, token_bytes

LAYERS = 4  # timed ones; all layers of a model cost the same
CONTEXT = 512  # tokens in the cache of each sequence: about the mean of a running request
KERNEL_BATCH = {"full": 32, "smoke": 4}


@dataclass(frozen=True)
class Costs:
    """Milliseconds of a whole decode step by batch, for each layout; seconds of a token of a prompt."""

    batches: list[int]
    decode: dict[str, list[Interval]]
    token: float
    found: Comparison

    def step(self, layout: str, batch: int) -> float:
        """Seconds: between the measured batches interpolated, beyond them extended by the last slope."""
        x, y = self.batches, [value.value / 1e3 for value in self.decode[layout]]
        if batch <= x[-1]:
            return float(np.interp(batch, x, y))
        return y[-1] + (batch - x[-1]) * max(0.0, y[-1] - y[-2]) / (x[-1] - x[-2])


def measure(context: Context, ceilings: Probe) -> Costs:
    """Times decode steps and a prompt; measures the kernel overhead."""
    shape, dtype = SHAPES[context["shape"]], torch.float16 if context.device.type == "cuda" else torch.float32
    stack = build(shape, LAYERS, dtype, context.device)
    with torch.no_grad():
        costs = _steps(context, shape, stack)
        del stack
        release(context.device)
        _overhead(context, shape, dtype, ceilings)
    return costs


def _steps(context: Context, shape: Shape, stack: Stack) -> Costs:
    batches = sorted(context["batches"])
    like = stack.head.weight
    cache = Cache.random(shape, LAYERS, batches[-1], CONTEXT, like)
    layouts = {"contiguous": cache, "paged": cache.in_pages()}
    x = torch.randn(batches[-1], shape.width, dtype=like.dtype, device=like.device)
    prompt = torch.randn(1, CONTEXT, shape.width, dtype=like.dtype, device=like.device)
    works: dict[str, Callable[[], object]] = {
        f"{layout} {batch}": partial(stack.decode, x[:batch], held.first(batch))
        for batch in batches
        for layout, held in layouts.items()
    }
    works["head"] = partial(functional.linear, x, stack.head.weight)
    works["prompt"] = partial(_prompt, stack, prompt)
    arms = {name: capture(work, context.device) for name, work in works.items()}
    how = profile(context.preset, STEP, min_s=1.0, max_s=4.0)
    found = compare(arms, f"contiguous {batches[-1]}", how, context.device)
    context.keep("steps", found)
    whole = shape.layers / LAYERS
    scaled = {layout: [_whole(found, f"{layout} {batch}", whole) for batch in batches] for layout in layouts}
    token = found.median("prompt").value * whole / CONTEXT / 1e3
    return Costs(batches, scaled, token, found)


def chart(context: Context, costs: Costs) -> None:
    """Charts both layouts' step times by batch."""
    context.chart(
        "step_time",
        f"A decode step of {context['shape']} by batch, {CONTEXT} tokens in each cache",
        ("Sequences in a batch", "", True),
        ("Time of a step", "ms", False),
        [curve(layout, costs.batches, values) for layout, values in costs.decode.items()],
    )


def _whole(found: Comparison, arm: str, layers: float) -> Interval:
    """Milliseconds of the whole model: its layers and the output weights."""
    part, head = found.median(arm), found.median("head").value
    return Interval(part.value * layers + head, part.low * layers + head, part.high * layers + head, part.n)


def _prompt(stack: Stack, x: torch.Tensor) -> torch.Tensor:
    for layer in stack.layers:
        x = layer.prefill(x)
    return x


def _overhead(context: Context, shape: Shape, dtype: torch.dtype, ceilings: Probe) -> None:
    """Measures kernel_overhead (same kernel, two layouts) and kernel_overhead_sdpa (PyTorch's kernel)."""
    batch = KERNEL_BATCH[context.preset]
    like = torch.empty(0, dtype=dtype, device=context.device)
    cache = Cache.random(shape, 2, batch, CONTEXT, like)  # two pools in turn
    pages = cache.in_pages()
    q = torch.randn(batch, shape.heads, shape.head_width, dtype=dtype, device=context.device)
    rows = [
        [part.unflatten(0, (batch, CONTEXT)).transpose(1, 2).contiguous() for part in pool]
        for pool in cache.pools
    ]
    arms = {
        "contiguous": lambda call: cache.attend(call % 2, q),
        "paged": lambda call: pages.attend(call % 2, q),
        "sdpa": lambda call: functional.scaled_dot_product_attention(q[:, :, None], *rows[call % 2]),
    }
    how = profile(context.preset, KERNEL, max_s=2.0, calls=2)
    found = compare(arms, "contiguous", how, context.device)
    context.keep("attention", found)
    moved = {"contiguous": batch * CONTEXT * token_bytes(shape) / shape.layers * dtype.itemsize / 2}
    moved["paged"] = moved["contiguous"] + batch * shape.heads * 4 * CONTEXT / PAGE
    limits = {arm: ceilings.least_time(moved=count) * 1e3 for arm, count in moved.items()}
    detail: dict[str, Any] = {
        "batch": batch,
        "context_tokens": CONTEXT,
        "arms": found.figures(),
        "fraction_of_limit": {
            "candidate": limits["paged"] / found.median("paged").value,
            "baseline": limits["contiguous"] / found.median("contiguous").value,
        },
    }
    for name, baseline in (("kernel_overhead", "contiguous"), ("kernel_overhead_sdpa", "sdpa")):
        slower = found.speedup(baseline, "paged")
        context.measure(
            name,
            Interval(slower.value - 1, slower.low - 1, slower.high - 1, slower.n),
            predicted=moved["paged"] / moved["contiguous"] - 1,
            predicted_note="A table entry of 4 bytes for each page and head beside the keys and values.",
            noise=found.noise(),
            detail=detail,
        )
