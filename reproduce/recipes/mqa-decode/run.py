"""Multi-query attention (arXiv:1911.02150): all query heads share one head of keys and values."""

from reproduce.recipes.context import Context
from reproduce.recipes.toolbox import release

from . import beams, decode, exactness, learning, sweep


def run(context: Context) -> None:
    """Checks the identity, then decodes greedily and with beams, over larger shapes, then trains."""
    context.progress(0.0, "what this hardware can do")
    ceilings = context.probe()
    context.progress(0.1, "one shared head against tied heads")
    exactness.check(context)
    decode.measure(context, ceilings)
    release(context.device)
    context.progress(0.35, "decoding with beams")
    beams.measure(context, ceilings)
    release(context.device)
    sweep.chart(context, ceilings)
    release(context.device)
    learning.measure(context)
    context.progress(1.0, "done")
