"""Sequence packing (arXiv:2107.02027): rows full of several sequences that do not see each other."""

from reproduce.recipes.context import Context

from . import apart, packing, training


def run(context: Context) -> None:
    """Packs the fitted lengths, checks that sequences stay apart, and times training steps."""
    context.progress(0.0, "what this hardware can do")
    ceilings = context.probe()
    context.progress(0.15, "packing sixteen million sequences")
    packing.measure(context)
    context.progress(0.2, "whether packed sequences see each other")
    apart.check(context)
    context.progress(0.3, "training steps")
    training.measure(context, ceilings)
    context.progress(1.0, "done")
