"""The same comparison at the shape of a Llama-7B layer, over batches and contexts: a chart, no claim."""

import torch

from reproduce.recipes.blocks.decodestack import Shape, Stack
from reproduce.recipes.blocks.decoding import DECODE, capture, over_batches
from reproduce.recipes.context import Context, curve
from reproduce.recipes.intervals import Interval
from reproduce.recipes.roofline import Probe
from reproduce.recipes.toolbox import compare, profile

from .decode import dtype_of

LAYERS, HEAD = 4, 128  # few layers: each has its own weights and cache, larger together than any L2 cache
ARMS = ("multi-head", "multi-query")


def chart(context: Context, ceilings: Probe) -> None:
    """Charts the speed-up of multi-query attention over contexts, one line for each batch."""
    contexts, batches = sorted(context["contexts"]), (1, 8, 32) if context.full else (1, 2)

    def one(batch: int) -> list[Interval]:
        context.progress(0.45 + 0.2 * batches.index(batch) / len(batches), f"Llama-7B layers, batch {batch}")
        return _over_contexts(context, batch, contexts)

    found = over_batches(batches, one, context.device, context.log)
    lines = [curve(f"batch {batch}", contexts, speedups) for batch, speedups in found.items()]
    for batch in found:
        least = [
            [ceilings.least_time(s.step_flop(batch, n), s.step_bytes(batch, n)) for s in _shapes(context)]
            for n in contexts
        ]
        limit = [slow / fast for slow, fast in least]
        lines.append({"label": f"roofline limit, batch {batch}", "x": contexts, "y": limit})
    context.chart(
        "llama",
        "Decoding with layers of Llama-7B's shape",
        ("Context", "tokens", True),
        ("Speed-up of multi-query attention", "x", True),
        lines,
    )


def _shapes(context: Context) -> list[Shape]:
    width = 4 * context["width"]
    heads = max(2, width // HEAD)
    return [
        Shape(LAYERS, width, heads, kv_heads, width // heads, 11 * width // 4, True)
        for kv_heads in (heads, 1)
    ]


def _over_contexts(context: Context, batch: int, contexts: list[int]) -> list[Interval]:
    device, dtype, shapes = context.device, dtype_of(context.device), _shapes(context)
    stacks = dict(
        zip(ARMS, (Stack.random(s, batch, contexts[-1], dtype, device) for s in shapes), strict=True)
    )
    x, speedups = torch.randn(batch, shapes[0].width, dtype=dtype, device=device), []
    for stack in stacks.values():
        stack.choose(context.log, contexts[-1], contexts[0])
    for tokens in contexts:
        works = {
            arm: capture(lambda stack=stack, last=tokens - 1: stack.step(x, last), device)
            for arm, stack in stacks.items()
        }
        how = profile(context.preset, DECODE, max_s=0.3, min_s=0.1)
        times = compare(works, "multi-head", how, device, again=False)
        context.samples[f"llama, batch {batch}, {tokens} tokens"] = dict(times.samples)
        speedups.append(times.speedup("multi-query"))
    return speedups
