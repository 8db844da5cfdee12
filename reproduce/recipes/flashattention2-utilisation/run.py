"""FlashAttention-2 (arXiv:2307.08691): how much of the arithmetic peak exact attention reaches."""

import torch

from reproduce.recipes.context import Context

from . import numerics, sweep


def run(context: Context) -> None:
    """Checks the kernels against 64-bit arithmetic, then times the paper's sweep."""
    dtype = getattr(torch, context["dtype"])
    kernels = ["flash", "efficient"] if context.device.type == "cuda" else ["flash"]
    context.progress(0.0, "what this hardware can do")
    ceilings = context.probe()
    context.progress(0.05, "errors against 64-bit arithmetic")
    numerics.check(context, dtype, kernels)
    sweep.measure(context, ceilings, dtype, kernels)
    context.progress(1.0, "done")
