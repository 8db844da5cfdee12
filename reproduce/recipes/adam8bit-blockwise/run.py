"""8-bit optimizers (arXiv:2110.02861): Adam whose moments are eight-bit codes with block-wise scales."""

from reproduce.recipes.context import Context
from reproduce.recipes.toolbox import release

from . import numerics, quality, states, update


def run(context: Context) -> None:
    """Checks the numbers, counts bytes, times updates, and trains a small model with four kinds of states."""
    context.progress(0.0, "what this hardware can do")
    ceilings = context.probe()
    context.progress(0.05, "errors of codes and of updates")
    numerics.check(context)
    states.count(context)
    update.measure(context, ceilings)
    release(context.device)
    quality.measure(context)
    context.progress(1.0, "done")
