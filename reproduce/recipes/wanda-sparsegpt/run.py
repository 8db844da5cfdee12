"""Wanda (arXiv:2306.11695): prune the weights whose size times their input's norm is least."""

from reproduce.recipes.context import Context
from reproduce.recipes.toolbox import release

from . import cost, quality


def run(context: Context) -> None:
    """The loss of a small model pruned three ways, then the time to prune a layer of LLaMA-7B."""
    context.progress(0.0, "what this hardware can do")
    context.probe()
    quality.measure(context)
    release(context.device)
    cost.measure(context)
    context.progress(1.0, "done")
