"""KIVI (arXiv:2402.02750): a cache of 2-bit keys, rounded by channel, and values, rounded by token."""

from reproduce.recipes.context import Context
from reproduce.recipes.toolbox import release

from . import decoding, quality


def run(context: Context) -> None:
    """Bytes, batch and throughput at Llama-2-7B's shape, then the axes of rounding on a small model."""
    context.progress(0.0, "what this hardware can do")
    ceilings = context.probe()
    decoding.measure(context, ceilings)
    release(context.device)
    quality.measure(context)
    context.progress(1.0, "done")
