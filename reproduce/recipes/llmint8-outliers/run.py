"""LLM.int8() (arXiv:2208.07339): int8 products, with the few outlier features multiplied in 16 bits apart."""

from reproduce.recipes.context import Context
from reproduce.recipes.toolbox import release

from . import quality, speed, weights


def run(context: Context) -> None:
    """Bytes of BLOOM-176B's weights, the loss of a model with planted outliers, speed at GPT-3's widths."""
    context.progress(0.0, "what this hardware can do")
    ceilings = context.probe()
    weights.count(context)
    quality.measure(context)
    release(context.device)
    speed.measure(context, ceilings)
    context.progress(1.0, "done")
