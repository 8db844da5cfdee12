"""Megatron-LM (arXiv:1909.08053): every layer's matrices split over two devices."""

from reproduce.recipes.context import Context
from reproduce.recipes.toolbox import release

from . import equality, scaling


def run(context: Context) -> None:
    """Checks the split layers against whole ones, then measures weak and strong scaling."""
    context.progress(0.0, "what this hardware can do")
    ceilings = context.probe()
    context.progress(0.1, "split layers against whole ones")
    equality.check(context)
    release(context.device)
    scaling.measure(context, ceilings)
    context.progress(1.0, "done")
