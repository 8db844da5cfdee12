"""ZeRO (arXiv:1910.02054): split optimizer states, gradients and parameters over the processes."""

from reproduce.recipes.context import Context
from reproduce.recipes.toolbox import release

from . import equality, footprint, sharded, speed


def run(context: Context) -> None:
    """Checks that all stages learn the same, then counts bytes held and sent, then times steps."""
    context.progress(0.0, "what this hardware can do")
    ceilings = context.probe()
    context.progress(0.1, "the same parameters from every stage")
    equality.check(context)
    release(context.device)
    footprint.stages(context)
    release(context.device)
    context.progress(0.6, "PyTorch's own sharding")
    sharded.count(context)
    release(context.device)
    footprint.largest(context)
    release(context.device)
    context.progress(0.85, "time of a step")
    speed.measure(context, ceilings)
    context.progress(1.0, "done")
