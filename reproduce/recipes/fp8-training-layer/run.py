"""FP8-LM (arXiv:2310.18313): one layer of GPT-175B in fp8 against bf16, with narrow optimizer states."""

from reproduce.recipes.context import Context
from reproduce.recipes.toolbox import release

from . import numerics, products, quality, step


def run(context: Context) -> None:
    """Checks errors, times matrix products and the layer's step, counts memory, and trains a small model."""
    context.progress(0.0, "what this hardware can do")
    ceilings = context.probe()
    context.progress(0.05, "errors against 64-bit arithmetic")
    numerics.check(context)
    products.measure(context, ceilings)
    release(context.device)
    step.measure(context, ceilings)
    release(context.device)
    quality.measure(context)
    context.progress(1.0, "done")
