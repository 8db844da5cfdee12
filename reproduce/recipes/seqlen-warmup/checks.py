"""A fair comparison: as many tokens in both arms, and truncation that changes nothing else."""

import torch

from reproduce.recipes.context import Context

from . import arms, schedule

TOKENS = 0.002
LIMIT = {"cuda": 0.03, "cpu": 1e-5}  # bf16 products on a GPU


def lengths_of(context: Context) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Lengths of every step of the baseline and of the warm-up."""
    steps, full = context["steps"], context["length"]
    return schedule.constant(steps, full), schedule.warm_up(
        steps, full, context["shortest"], context["share"]
    )


def check(context: Context) -> None:
    """Guards same_tokens and truncation."""
    slow, fast = lengths_of(context)
    limit = TOKENS if context.full else 0.1  # whole steps are coarse in the small preset
    off = abs(sum(fast) / sum(slow) - 1)
    context.guard("same_tokens", off, limit, "Tokens of the warm-up against the baseline's, relative.")
    fleet = arms.fleet_of(context, [0, 1])
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(256, (2, 2, context["length"]), generator=generator).to(context.device)
    with torch.no_grad():
        whole = fleet.logits(ids).unflatten(1, (2, -1))[:, :, : context["shortest"]]
        short = fleet.logits(ids[..., : context["shortest"]]).unflatten(1, (2, -1))
    worst = ((whole - short).abs().max() / whole.abs().max()).item()
    context.guard(
        "truncation",
        worst,
        LIMIT[context.device.type],
        "Logits of truncated windows against the same bytes in whole windows, relative to the largest.",
    )
