"""RetNet (arXiv:2307.08621): a state of constant size instead of keys and values of every token."""

from reproduce.recipes.context import Context
from reproduce.recipes.toolbox import release

from . import decode, retention, training


def run(context: Context) -> None:
    """Checks that retention's three forms agree, decodes over batches, then trains at the same length."""
    context.progress(0.0, "what this hardware can do")
    ceilings = context.probe()
    context.progress(0.1, "parallel, chunkwise and recurrent retention")
    retention.check(context)
    decode.measure(context, ceilings)
    release(context.device)
    context.progress(0.75, "training steps")
    training.measure(context)
    context.progress(1.0, "done")
