"""Energy of speculative decoding (arXiv:2504.17674): what a small batch saves, a large one loses."""

import torch

from reproduce.recipes.context import Context
from reproduce.recipes.energy import idle_watts
from reproduce.recipes.toolbox import release

from . import checks, decoding, findings, joules

SWEEP_WINDOWS = 1


def run(context: Context) -> None:
    """Checks the loop, then counts joules a token of both ways at each batch; the scored ones three times."""
    context.progress(0.0, "what this hardware can do")
    ceilings = context.probe()
    context.progress(0.1, "the loop against the large model alone")
    checks.same_tokens(context)
    pair = decoding.models(context)
    context.progress(0.15, "power of the idle GPU")
    idle = idle_watts(context.gpu)
    spent = {}
    batches = sorted({*context["batches"], *findings.SCORED[context.preset]})
    for index, batch in enumerate(batches):
        context.progress(0.2 + 0.75 * index / len(batches), f"energy at a batch of {batch}")
        scored = batch in findings.SCORED[context.preset]
        count = findings.REPEATS if scored else SWEEP_WINDOWS
        seconds = context["seconds"] if scored else context["seconds"] * 0.75
        with torch.no_grad():
            spent[batch] = joules.windows(context, decoding.arms(context, pair, batch), count, seconds, idle)
        release(context.device)
    findings.report(context, ceilings, spent, idle)
    context.progress(1.0, "done")
