"""DeepSeek-V2 (arXiv:2405.04434): what latent attention saves of the cache, and what six bits do."""

from reproduce.recipes.context import Context
from reproduce.recipes.toolbox import release

from . import attention, cache, timing


def run(context: Context) -> None:
    """Counts the bytes of real caches, checks six bits and absorption, then times one layer's attention."""
    context.progress(0.0, "what this hardware can do")
    ceilings = context.probe()
    context.progress(0.2, "absorbed against naive attention")
    attention.check(context)
    context.progress(0.3, "allocating the caches")
    cache.measure(context)
    release(context.device)
    timing.measure(context, ceilings)
    context.progress(1.0, "done")
