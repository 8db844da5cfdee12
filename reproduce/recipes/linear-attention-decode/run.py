"""Linear attention (arXiv:2006.16236): a transformer that decodes as a recurrent network."""

from reproduce.recipes.context import Context
from reproduce.recipes.toolbox import release

from . import forms, latency, learning, throughput, training


def run(context: Context) -> None:
    """Checks that the forms agree, then decodes for throughput and for latency, then trains over lengths."""
    context.progress(0.0, "what this hardware can do")
    ceilings = context.probe()
    context.progress(0.1, "recurrent, chunked and quadratic form")
    forms.check(context)
    throughput.measure(context, ceilings)
    release(context.device)
    context.progress(0.6, "latency of one sequence")
    latency.measure(context, ceilings)
    release(context.device)
    context.progress(0.65, "forward and backward over lengths")
    training.measure(context)
    release(context.device)
    learning.measure(context)
    context.progress(1.0, "done")
