"""GaLore (arXiv:2403.03507): Adam on gradients that are projected to their leading directions."""

from reproduce.recipes.context import Context
from reproduce.recipes.toolbox import release

from . import numerics, quality, states, training


def run(context: Context) -> None:
    """Checks projections, counts states of five models, measures a step's memory, trains a small model."""
    context.progress(0.0, "what this hardware can do")
    context.probe()
    context.progress(0.05, "projection and update")
    numerics.check(context)
    context.progress(0.1, "optimizer states of five models")
    states.count(context)
    training.measure(context)
    release(context.device)
    quality.measure(context)
    context.progress(1.0, "done")
