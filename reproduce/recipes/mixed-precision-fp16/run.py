"""Mixed precision training (arXiv:1710.03740): fp16 arithmetic, fp32 master weights, loss scaling."""

from reproduce.recipes.context import Context
from reproduce.recipes.toolbox import release

from . import gradients, operations, quality, step


def run(context: Context) -> None:
    """Times operations, checks gradients, times training steps and trains a small model five ways."""
    context.progress(0.0, "what this hardware can do")
    ceilings = context.probe()
    operations.measure(context, ceilings)
    release(context.device)
    context.progress(0.3, "gradients in fp16")
    gradients.check(context)
    step.measure(context)
    release(context.device)
    quality.measure(context)
    context.progress(1.0, "done")
