"""RWKV (arXiv:2305.13048): time and memory of a decoded token, which should not depend on the context."""

from reproduce.recipes.context import Context
from reproduce.recipes.toolbox import release

from . import decode, exactness, quality, scanning


def run(context: Context) -> None:
    """Checks the recurrence, then decodes after ever longer contexts, then learns bytes with both models."""
    context.progress(0.0, "what this hardware can do")
    ceilings = context.probe()
    context.progress(0.1, "the recurrence against 64-bit arithmetic")
    exactness.check(context)
    decode.measure(context, ceilings)
    release(context.device)
    context.progress(0.6, "the parallel form over lengths")
    scanning.measure(context)
    release(context.device)
    quality.measure(context)
    context.progress(1.0, "done")
