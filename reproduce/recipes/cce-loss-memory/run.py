"""Cut cross-entropy (arXiv:2411.09009): the loss over a large vocabulary without its logits in memory."""

from reproduce.recipes.context import Context

from . import cost, exactness


def run(context: Context) -> None:
    """Checks loss and gradients against 64-bit arithmetic, then measures memory and time."""
    context.progress(0.0, "what this hardware can do")
    ceilings = context.probe()
    context.progress(0.15, "loss and gradients against 64-bit arithmetic")
    exactness.check(context)
    context.progress(0.3, "memory and time at the paper's shape")
    cost.at_papers_shape(context, ceilings)
    context.progress(0.85, "memory over vocabularies")
    cost.over_vocabularies(context)
    context.progress(1.0, "done")
