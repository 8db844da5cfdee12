"""StreamingLLM (arXiv:2309.17453): four first tokens and a rolling cache instead of recomputing a window."""

from reproduce.recipes.context import Context
from reproduce.recipes.toolbox import release

from . import latency, numerics, quality


def run(context: Context) -> None:
    """Checks the cache against its definition, times a token at 7B shape, judges small trained models."""
    context.progress(0.0, "what this hardware can do")
    ceilings = context.probe()
    context.progress(0.1, "the rolling cache against 64-bit arithmetic")
    numerics.check(context)
    latency.measure(context, ceilings)
    release(context.device)
    quality.measure(context)
    context.progress(1.0, "done")
