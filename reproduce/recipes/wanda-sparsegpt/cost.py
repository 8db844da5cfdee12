"""Time to prune a layer of LLaMA-7B to one half, from its inputs' statistics: Wanda against SparseGPT."""

from typing import Any

import torch

from reproduce.recipes.blocks.hessian import Inputs
from reproduce.recipes.context import Context, curve, level
from reproduce.recipes.intervals import ratio_of_medians
from reproduce.recipes.toolbox import KERNEL, Comparison, compare, profile, release

from . import pruning
from .pruning import Pattern

CLAIMED = 300.0
HALF = Pattern(0.5)
ARMS = ("SparseGPT", "Wanda", "Wanda's metric alone")


def measure(context: Context) -> None:
    """Measures time_ratio and metric_ratio over a whole decoder layer; charts the first by matrix."""
    width, hidden = context["width"], context["hidden"]
    shapes = {(width, width): 4, (hidden, width): 2, (width, hidden): 1}  # how many of each a layer has
    found: dict[tuple[int, int], Comparison] = {}
    for index, shape in enumerate(shapes):
        context.progress(0.75 + 0.25 * index / len(shapes), f"pruning {shape[0]} x {shape[1]} weights")
        found[shape] = _compared(context, shape)
        context.keep(f"pruning_{shape[0]}_{shape[1]}", found[shape])
        release(context.device)
    rounds = min(len(cell.samples["SparseGPT"]) for cell in found.values())
    layer = {
        arm: [sum(shapes[s] * found[s].samples[arm][r] for s in shapes) for r in range(rounds)]
        for arm in ARMS
    }
    detail: dict[str, Any] = {"milliseconds_a_layer": {arm: min(times) for arm, times in layer.items()}}
    detail["arms"] = {f"{a} x {b}": cell.figures() for (a, b), cell in found.items()}
    noise = max(cell.noise() for cell in found.values())
    for name, arm in (("time_ratio", "Wanda"), ("metric_ratio", "Wanda's metric alone")):
        context.measure(name, ratio_of_medians(layer["SparseGPT"], layer[arm]), noise=noise, detail=detail)
    weights = [outputs * inputs for outputs, inputs in shapes]
    context.chart(
        "time",
        "Time of SparseGPT divided by that of Wanda, by matrix of LLaMA-7B",
        ("Weights", "", True),
        ("Time ratio", "x", True),
        [curve(arm, weights, [found[s].speedup(arm) for s in shapes]) for arm in ARMS[1:]]
        + [level("claimed by the paper", weights, CLAIMED)],
    )


def _compared(context: Context, shape: tuple[int, int]) -> Comparison:
    weight = torch.randn(shape, device=context.device)
    seen = Inputs.none(shape[1], context.device)
    for _ in range(4):
        seen.add(torch.randn(shape[1], shape[1], device=context.device))
    squares = seen.products.diagonal().clone()
    works = {
        "SparseGPT": lambda call: pruning.sparsegpt(weight, seen.products, HALF),
        "Wanda": lambda call: pruning.wanda(weight, seen.products, HALF),
        "Wanda's metric alone": lambda call: pruning.metric(weight, squares),
    }
    how = profile(context.preset, KERNEL, warm_up_calls=1, min_rounds=5, max_s=16.0)
    return compare(works, "SparseGPT", how, context.device)
