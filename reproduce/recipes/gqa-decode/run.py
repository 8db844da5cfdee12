"""Grouped-query attention (arXiv:2305.13245): groups of query heads share a head of keys and values."""

from reproduce.recipes.context import Context
from reproduce.recipes.toolbox import release

from . import decode, exactness, uptraining


def run(context: Context) -> None:
    """Checks conversion and grouping, decodes over batches, then converts and trains small models on."""
    context.progress(0.0, "what this hardware can do")
    ceilings = context.probe()
    context.progress(0.1, "grouped heads against repeated heads")
    exactness.check(context)
    decode.measure(context, ceilings)
    release(context.device)
    uptraining.measure(context)
    context.progress(1.0, "done")
