"""Attention Is All You Need (arXiv:1706.03762), Table 1: self-attention against recurrence, a layer each."""

from reproduce.recipes.context import Context

from . import dependence, quality, timing


def run(context: Context) -> None:
    """Checks that both layers are right and can learn, counts sequential operations, then times both."""
    context.progress(0.0, "what this hardware can do")
    ceilings = context.probe()
    context.progress(0.05, "errors against 64-bit arithmetic")
    quality.correct(context)
    context.progress(0.1, "learning to copy")
    quality.trainable(context)
    context.progress(0.15, "counting sequential operations")
    dependence.count(context)
    timing.measure(context, ceilings)
    context.progress(1.0, "done")
