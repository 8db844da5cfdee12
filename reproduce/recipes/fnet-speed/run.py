"""FNet (arXiv:2105.03824): Fourier transforms in the place of self-attention."""

from reproduce.recipes.context import Context

from . import correctness, quality, speed
from .encoder import Shape

VOCABULARY = 32_000  # of the paper's tokenizer


def run(context: Context) -> None:
    """Checks the mixing against its definition, then measures training speed, memory and a small trend."""
    context.progress(0.0, "what this hardware can do")
    ceilings = context.probe()
    longest = max(context["length"], *context["lengths"])
    shape = Shape(context["layers"], context["width"], VOCABULARY if context.full else 512, longest)
    context.progress(0.05, "mixing against its definition")
    correctness.check(context, shape, context["length"])
    context.progress(0.1, "training steps at the paper's shape")
    speed.measure(context, ceilings, shape)
    quality.measure(context)
    context.progress(1.0, "done")
