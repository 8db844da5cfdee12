"""Latency of one sequence: both eager, as the paper ran them, and both as one CUDA graph a step."""

import torch

from reproduce.recipes.blocks.decoding import DECODE, capture, midpoints, report
from reproduce.recipes.context import Context
from reproduce.recipes.roofline import Probe
from reproduce.recipes.toolbox import compare, profile

from . import forms, models

POSITIONS = 4


def measure(context: Context, ceilings: Probe) -> None:
    """Measures latency_eager and latency_graphed. A single sequence leaves all of it in the L2 cache."""
    device, length = context.device, max(context["lengths"])
    weights, at, shape = models.weights_of(context), midpoints(length, POSITIONS), models.shape_of(context)
    x = torch.randn(1, context["width"], dtype=models.dtype_of(device), device=device)
    plain = models.Recurrent.empty(context, weights, 1, forms.update)
    quick = models.Recurrent.empty(context, weights, 1, forms.fast_update(context)[1])
    stack = models.cached(context, weights, 1, length)
    grown = models.growing(stack)
    works = {
        "growing, eager": torch.no_grad()(lambda call: [grown.step(x, n) for n in at][-1]),
        "linear, eager": torch.no_grad()(lambda call: [plain.step(x) for _ in at][-1]),
        "cached, graph": capture(lambda: [stack.step(x, n) for n in at][-1], device),
        "linear, graph": capture(lambda: [quick.step(x) for _ in at][-1], device),
    }
    bound = 1e3 * len(at) * shape.layers * ceilings.launch
    least = {  # kernels of a layer that must follow one another, at the probe's gap between launches
        "growing, eager": 14 * bound,
        "linear, eager": 21 * bound,
        "cached, graph": 1e3 * len(at) * ceilings.least_time(moved=shape.step_bytes(1, length / 2)),
        "linear, graph": 1e3 * len(at) * ceilings.least_time(moved=2 * shape.weights),
    }
    how = profile(context.preset, DECODE, max_s=3.0, flush=False, calls=4)
    for way, baseline in (("eager", "growing"), ("graph", "cached")):
        pair = f"linear, {way}", f"{baseline}, {way}"
        name = "latency_eager" if way == "eager" else "latency_graphed"
        # Apart, since launches from Python are many times noisier than a graph, and each has its own noise.
        times = compare({arm: works[arm] for arm in pair}, pair[1], how, device)
        context.keep(name, times)
        report(context, name, times, pair, least, "Launches or bytes:", kernels=stack.chosen)
