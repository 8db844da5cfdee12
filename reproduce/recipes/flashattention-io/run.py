"""FlashAttention (arXiv:2205.14135): exact attention without the n x n matrix in memory."""

import torch

from reproduce.recipes.context import Context
from reproduce.recipes.toolbox import release

from . import footprint, kernels, numerics, training


def run(context: Context) -> None:
    """Checks the kernels against 64-bit arithmetic, then measures time, traffic, memory and training."""
    dtype = getattr(torch, context["dtype"])
    context.progress(0.0, "what this hardware can do")
    ceilings = context.probe()
    context.progress(0.05, "errors against 64-bit arithmetic")
    numerics.check(context, dtype)
    context.progress(0.1, "time at the paper's shape")
    kernels.at_papers_shape(context, ceilings, dtype)
    release(context.device)
    context.progress(0.3, "bytes to and from memory")
    footprint.traffic(context, dtype)
    context.progress(0.4, "memory over sequence lengths")
    footprint.memory(context, dtype)
    kernels.over_lengths(context, dtype)
    context.progress(0.75, "training steps of GPT-2")
    training.measure(context, ceilings)
    context.progress(1.0, "done")
