"""Hyena (arXiv:2302.10866): from which length on is a long convolution faster than attention?"""

import torch

from reproduce.recipes.context import Context

from . import counts, numerics, timing


def run(context: Context) -> None:
    """Checks the operator against direct sums, counts FLOP at 2K, then times it against attention."""
    dtype = torch.bfloat16 if context.device.type == "cuda" else torch.float32
    context.progress(0.0, "what this hardware can do")
    ceilings = context.probe()
    context.progress(0.1, "the convolution against direct sums in 64 bits")
    numerics.check(context)
    counts.measure(context)
    timing.over_lengths(context, ceilings, dtype)
    context.progress(1.0, "done")
