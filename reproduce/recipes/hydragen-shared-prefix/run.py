"""Hydragen (arXiv:2402.05099): attention to a shared prefix, once for the whole batch."""

import torch

from reproduce.recipes.context import Context

from . import grid, numerics
from .layer import Layer


def run(context: Context) -> None:
    """Checks divided against undivided attention, then times a decoding step over batch and prefix."""
    dtype = torch.bfloat16 if context.device.type == "cuda" else torch.float32
    context.progress(0.0, "what this hardware can do")
    ceilings = context.probe()
    with torch.no_grad():
        context.progress(0.05, "divided against undivided attention")
        numerics.check(context, dtype)
        layer = Layer(context["heads"], context["head_dim"], context["hidden"], dtype, context.device)
        grid.measure(context, ceilings, layer, dtype)
    context.progress(1.0, "done")
