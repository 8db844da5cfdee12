"""FlashAttention-3 (arXiv:2407.08608): the error of attention in FP8, and the speed of a Hopper kernel."""

from reproduce.recipes.context import Context

from . import errors, speed


def run(context: Context) -> None:
    """Checks the identities that the method rests on, then measures errors and speed."""
    context.progress(0.0, "what this hardware can do")
    ceilings = context.probe()
    context.progress(0.05, "identities")
    errors.identities(context)
    errors.measure(context)
    speed.measure(context, ceilings)
    context.progress(1.0, "done")
