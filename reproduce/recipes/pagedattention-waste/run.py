"""PagedAttention (arXiv:2309.06180): a cache in small blocks instead of whole reservations."""

from reproduce.recipes.context import Context

from . import checks, steps, waste


def run(context: Context) -> None:
    """Checks the paged kernel, counts who wastes how much of the pool, and what that is worth in time."""
    context.progress(0.0, "what this hardware can do")
    ceilings = context.probe()
    context.progress(0.2, "paged attention against contiguous attention")
    checks.same_attention(context)
    context.progress(0.25, "decode steps by batch")
    costs = steps.measure(context, ceilings)
    context.progress(0.6, "serving with each allocator")
    waste.measure(context, costs)
    steps.chart(context, costs)
    context.progress(1.0, "done")
