"""Grouping is repetition, and as many groups as heads change nothing."""

import torch
from torch.nn.attention import SDPBackend

from reproduce.recipes.blocks.decoding import fused
from reproduce.recipes.blocks.tinygpt import SMOKE, TinyGPT
from reproduce.recipes.context import Context

from . import conversion
from .uptraining import converted

LIMIT = 1e-6  # RECIPES, section 17
HEADS, GROUPS = 8, 2


def check(context: Context) -> None:
    """Guards grouped attention against repeated heads, and the conversion into as many groups as heads."""
    context.guard(
        "grouped_is_repeated",
        _grouping_error(context.device),
        LIMIT,
        "Relative difference in fp32 of grouped heads from keys and values repeated for each head.",
    )
    model = TinyGPT(SMOKE).to(context.device)
    same = converted(model, SMOKE.heads, conversion.mean, seed=0)
    tokens = torch.randint(256, (2, SMOKE.length), device=context.device)
    with torch.no_grad():
        difference = (model(tokens) - same(tokens)).abs().max().item()
    context.guard(
        "as_many_groups_as_heads",
        difference,
        0.0,
        "Largest difference of a logit after a conversion into as many groups as heads.",
    )


def _grouping_error(device: torch.device) -> float:
    attend = fused(SDPBackend.MATH)
    q = torch.randn(2, HEADS, 5, 16, device=device)
    k, v = (torch.randn(2, GROUPS, 33, 16, device=device) for _ in range(2))
    repeated = [x.repeat_interleave(HEADS // GROUPS, dim=1) for x in (k, v)]
    right = attend(q, *repeated)
    return ((attend(q, k, v) - right).norm() / right.norm()).item()
