"""Peak activation memory of a step against depth, for chains of equal transformer blocks."""

from functools import partial

import torch

from reproduce.recipes.context import Context
from reproduce.recipes.intervals import Interval, slope
from reproduce.recipes.memory import peak_bytes
from reproduce.recipes.toolbox import release

from . import chains, checkpointing

RECURSIVE_DEPTH = 256  # beyond it, log2(n) forward passes take longer than the picture is worth
WAYS = {
    "memory_slope": ("every sqrt(n)-th input kept", "every_sqrt", 0.5),
    "memory_slope_plain": ("everything kept", "plain", 1.0),
    "memory_slope_recursive": ("recursion, log2(n) inputs kept", "recursive", None),
}


def over_depth(context: Context) -> None:
    """Measures the growth of peak memory with depth; charts it."""
    depths, found = context["depths"], {name: {} for name in WAYS}
    for index, depth in enumerate(depths):
        context.progress(0.15 + 0.35 * index / len(depths), f"memory of {depth} blocks")
        for name, size in _peaks(context, depth).items():
            found[name][depth] = size
    for name, (_, _, expected) in WAYS.items():
        sizes = found[name]
        context.measure(
            name,
            _grown(sizes),
            predicted=expected,
            predicted_note="Kept: n layers, or about sqrt(n) inputs and sqrt(n) layers.",
            detail={"depths": list(sizes), "bytes": list(sizes.values())},
        )
    _chart(context, found)


def _grown(sizes: dict[int, int]) -> Interval:
    return slope(list(sizes), list(sizes.values()))


def _peaks(context: Context, depth: int) -> dict[str, int]:
    """Bytes at the peak of a step beyond weights, gradients, input and the arriving gradient."""
    width, length, found = context["width"], context["length"], {}
    layers = chains.transformer(depth, width, length, context.device)
    x, gradient = (torch.randn(2, length, width, device=context.device) for _ in range(2))
    for name, (_, way, _) in WAYS.items():
        if way == "recursive" and depth > RECURSIVE_DEPTH:
            continue
        run = getattr(checkpointing, way)
        work = partial(checkpointing.step, run, layers, x, gradient)
        found[name] = peak_bytes(work, context.device)
    del layers, work
    release(context.device)
    return found


def _chart(context: Context, found: dict[str, dict[int, int]]) -> None:
    lines = [
        {"label": label, "x": list(found[name]), "y": [size / 1e6 for size in found[name].values()]}
        for name, (label, _, _) in WAYS.items()
    ]
    depths, sizes = list(found["memory_slope"]), list(found["memory_slope"].values())
    claimed = [sizes[-1] * (depth / depths[-1]) ** 0.5 / 1e6 for depth in depths]
    context.chart(
        "memory_by_depth",
        "Peak activation memory of a training step by depth",
        ("Transformer blocks", "", True),
        ("Peak beyond weights and gradients", "MB", True),
        [*lines, {"label": "claimed by the paper", "x": depths, "y": claimed}],
    )
