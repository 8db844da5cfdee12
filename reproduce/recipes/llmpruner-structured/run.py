"""LLM-Pruner (arXiv:2305.11627): remove whole channels, heads and hidden units, so that any GPU gains."""

from reproduce.recipes.context import Context
from reproduce.recipes.toolbox import release

from . import counts, latency, recovery, slicing


def run(context: Context) -> None:
    """Counts, checks that pruning is masking, times pruned shapes, then compares importance scores."""
    context.progress(0.0, "what this hardware can do")
    ceilings = context.probe()
    context.progress(0.1, "parameters and MACs, on the meta device")
    counts.count(context)
    slicing.check(context)
    context.progress(0.15, "memory and latency")
    latency.measure(context, ceilings)
    release(context.device)
    context.progress(0.6, "a small language model, pruned by three scores")
    recovery.measure(context)
    context.progress(1.0, "done")
