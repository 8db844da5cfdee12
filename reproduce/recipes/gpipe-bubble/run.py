"""GPipe (arXiv:1811.06965): a model split over two devices, and its batch into micro-batches."""

from reproduce.recipes.context import Context
from reproduce.recipes.toolbox import release

from . import equality, throughput


def run(context: Context) -> None:
    """Checks gradients against a whole batch, then measures throughput and idle time by micro-batches."""
    context.progress(0.0, "what this hardware can do")
    ceilings = context.probe()
    context.progress(0.1, "gradients of the pipeline")
    equality.check(context)
    release(context.device)
    throughput.measure(context, ceilings)
    context.progress(1.0, "done")
