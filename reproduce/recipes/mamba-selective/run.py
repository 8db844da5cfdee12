"""Mamba (arXiv:2312.00752): a state space that selects: extrapolation, the fused scan, and serving."""

from reproduce.recipes.context import Context
from reproduce.recipes.toolbox import release

from . import learned, numerics, serving, speed


def run(context: Context) -> None:
    """Checks the scan against 64 bits, trains on two tasks, times the scan and generation at 1.4B shape."""
    context.progress(0.0, "what this hardware can do")
    ceilings = context.probe()
    context.progress(0.05, "the scan and its gradients against 64-bit arithmetic")
    numerics.check(context)
    learned.extrapolate(context)
    learned.copy(context)
    release(context.device)
    speed.over_lengths(context, ceilings)
    release(context.device)
    context.progress(0.85, "generation at 1.4B shape")
    serving.measure(context, ceilings)
    context.progress(1.0, "done")
