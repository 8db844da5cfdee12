"""ASVD (arXiv:2312.05821): low-rank factors of weights scaled by their inputs, ranks by sensitivity."""

from reproduce.recipes.context import Context
from reproduce.recipes.toolbox import release

from . import latency, quality


def run(context: Context) -> None:
    """The loss of a small model over the share of parameters kept, then the time of factorised layers."""
    context.progress(0.0, "what this hardware can do")
    context.probe()
    quality.measure(context)
    release(context.device)
    context.progress(0.9, "factorised layers at the shape of LLaMA-7B")
    latency.measure(context)
    context.progress(1.0, "done")
