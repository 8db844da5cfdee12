"""SmoothQuant (arXiv:2211.10438): int8 weights and activations, the latter made easier by the former."""

from reproduce.recipes.context import Context
from reproduce.recipes.toolbox import release

from . import quality, speed


def run(context: Context) -> None:
    """Speed and bytes of a layer of OPT in int8 against 16 bits, then the loss of a small model."""
    context.progress(0.0, "what this hardware can do")
    ceilings = context.probe()
    speed.prefill(context, ceilings)
    release(context.device)
    context.progress(0.5, "decoding one token")
    speed.decode(context, ceilings)
    release(context.device)
    quality.measure(context)
    context.progress(1.0, "done")
