"""H3 (arXiv:2212.14052): state spaces with multiplicative gates recall tokens; a hybrid generates faster."""

from reproduce.recipes.context import Context

from . import generation, learned, numerics


def run(context: Context) -> None:
    """Checks both forms of the layer, trains four mixers on two tasks, then times a 2.7B-shaped hybrid."""
    context.progress(0.0, "what this hardware can do")
    ceilings = context.probe()
    context.progress(0.05, "convolution and recurrence against 64-bit arithmetic")
    numerics.check(context)
    learned.measure(context)
    context.progress(0.85, "generation at 2.7B shape")
    generation.measure(context, ceilings)
    context.progress(1.0, "done")
