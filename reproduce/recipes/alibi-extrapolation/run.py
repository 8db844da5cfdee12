"""ALiBi (arXiv:2108.12409): train at a short length, test at a longer one."""

from reproduce.recipes.context import Context
from reproduce.recipes.toolbox import release

from . import attention, quality, training


def run(context: Context) -> None:
    """Checks the kernels, times training steps at 1.3B shape at both lengths, then trains small models."""
    context.progress(0.0, "what this hardware can do")
    ceilings = context.probe()
    context.progress(0.05, "attention with ALiBi against 64-bit arithmetic")
    attention.check(context)
    context.progress(0.1, "training steps at 1.3B shape")
    training.measure(context, ceilings)
    release(context.device)
    quality.measure(context)
    context.progress(1.0, "done")
