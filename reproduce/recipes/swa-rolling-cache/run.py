"""Mistral 7B (arXiv:2310.06825): attention within a sliding window, and a cache that rolls."""

from reproduce.recipes.context import Context

from . import attention, numerics, rolling, timing


def run(context: Context) -> None:
    """Checks kernels and cache at the window's edges, counts bytes, times the window against all."""
    context.progress(0.0, "what this hardware can do")
    ceilings = context.probe()
    context.progress(0.15, "the window's edges against 64-bit arithmetic")
    arms = attention.windowed(context)
    numerics.check(context, arms)
    context.progress(0.3, "bytes of both caches")
    rolling.count(context)
    context.progress(0.35, "the window against full attention")
    timing.measure(context, ceilings, arms)
    context.progress(1.0, "done")
