"""Orca (OSDI 2022): schedule each iteration anew instead of whole batches of requests."""

import torch

from reproduce.recipes.context import Context

from . import capacity, checks, engine
from .costs import Costs


def run(context: Context) -> None:
    """Checks that both schedulers give the same tokens, then finds what each serves at equal latency."""
    context.progress(0.0, "what this hardware can do")
    ceilings = context.probe()
    context.progress(0.15, "the same tokens under both schedulers")
    checks.same_tokens(context)
    context.progress(0.25, "a model with random weights")
    name = context["shape"]
    dtype = torch.bfloat16 if context.device.type == "cuda" else torch.float32
    model = engine.build(name, None, dtype, context.device)
    slots = engine.Slots(model, context["slots"], engine.GRAIN[name])
    costs = Costs(slots)
    rate = capacity.measure(context, costs, ceilings)
    context.samples["seconds of each step"] = costs.samples
    context.progress(0.9, "a trace served by real forward passes")
    checks.real_replay(context, slots, costs, rate)
    context.progress(1.0, "done")
