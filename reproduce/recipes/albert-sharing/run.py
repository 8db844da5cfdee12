"""ALBERT (arXiv:1909.11942): one layer's weights for all layers, and narrow embeddings."""

from reproduce.recipes.context import Context

from . import counts, sharing, speed


def run(context: Context) -> None:
    """Counts, checks that sharing is what it says, then times training steps."""
    context.progress(0.0, "what this hardware can do")
    ceilings = context.probe()
    context.progress(0.15, "parameters, on the meta device")
    counts.count(context)
    context.progress(0.2, "sharing against equal layers apart")
    sharing.check(context)
    context.progress(0.25, "training steps")
    speed.measure(context, ceilings)
    context.progress(1.0, "done")
