"""How long GPTQ takes: one layer at the paper's width, times the layers of OPT-175B."""

import time
from collections.abc import Callable

import torch

from reproduce.recipes.blocks.hessian import Inputs
from reproduce.recipes.context import Context
from reproduce.recipes.toolbox import release, synchronise

from . import gptq

LAYERS = 96
SEQUENCES, LENGTH = 128, 2048  # calibration tokens of the paper
BITS = 3


def measure(context: Context) -> None:
    """Measures quantising_time, in seconds for the whole model on one GPU."""
    width = context["width"]
    shapes = {
        "query, key, value": (3 * width, width),
        "output": (width, width),
        "up": (4 * width, width),
        "down": (width, 4 * width),
    }
    parts = {}
    for name, shape in shapes.items():
        parts[name] = _timed(context, *shape)
        release(context.device)
    layer = sum(sum(part.values()) for part in parts.values())
    context.measure(
        "quantising_time",
        LAYERS * layer,
        detail={"layers": LAYERS, "calibration_tokens": SEQUENCES * LENGTH, "seconds_of_a_layer": parts},
    )


def _timed(context: Context, outputs: int, inputs: int) -> dict[str, float]:
    """Seconds for the statistics of all calibration tokens (from one sequence of them) and for the sweep."""
    length = LENGTH if context.full else 64
    x = torch.randn(length, inputs, device=context.device)
    seen = Inputs.none(inputs, context.device)
    seen.add(x)  # the first call makes workspaces
    adding = _seconds(context, lambda: seen.add(x))
    weight = torch.randn(outputs, inputs, device=context.device)
    return {
        "statistics": SEQUENCES * LENGTH / length * adding,
        "quantising": _seconds(context, lambda: gptq.gptq(weight, seen.products, BITS)),
    }


def _seconds(context: Context, work: Callable[[], object]) -> float:
    synchronise(context.device)
    begun = time.perf_counter()
    work()
    synchronise(context.device)
    return time.perf_counter() - begun
