"""GPTQ (arXiv:2210.17323): weights of 3 or 4 bits, each column's rounding error made up by those after it."""

from reproduce.recipes.context import Context
from reproduce.recipes.toolbox import release

from . import cost, decoding, quality


def run(context: Context) -> None:
    """Speed of products with 4-bit weights, the loss of a small model, and the time that GPTQ takes."""
    context.progress(0.0, "what this hardware can do")
    ceilings = context.probe()
    decoding.measure(context, ceilings)
    release(context.device)
    quality.measure(context)
    release(context.device)
    context.progress(0.8, "quantising a layer at the paper's width")
    cost.measure(context)
    context.progress(1.0, "done")
