"""LoRA (arXiv:2106.09685): train a low-rank update of two projections instead of all weights."""

from reproduce.recipes.context import Context
from reproduce.recipes.toolbox import release

from . import counts, latency, quality, training


def run(context: Context) -> None:
    """Counts at GPT-3's shape, then memory and speed of training, latency once merged, and quality."""
    context.progress(0.0, "what this hardware can do")
    ceilings = context.probe()
    context.progress(0.05, "parameters at GPT-3's shape")
    counts.count(context)
    training.by_shape(context, ceilings)
    release(context.device)
    context.progress(0.55, "latency of merged weights")
    latency.measure(context)
    release(context.device)
    quality.measure(context)
    context.progress(1.0, "done")
