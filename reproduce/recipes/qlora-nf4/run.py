"""QLoRA (arXiv:2305.14314): frozen weights in 4-bit NormalFloat, their scales in 8 bits, adapters trained."""

from reproduce.recipes.context import Context
from reproduce.recipes.toolbox import release

from . import checking, errors, training


def run(context: Context) -> None:
    """Bits and errors of the data types, speed of training at 7 billion, memory of it at 65 billion."""
    context.progress(0.0, "what this hardware can do")
    context.probe()
    context.progress(0.05, "bits and products")
    checking.count_bits(context)
    checking.guard(context)
    errors.measure(context)
    release(context.device)
    training.speed(context)
    release(context.device)
    training.memory(context)
    context.progress(1.0, "done")
