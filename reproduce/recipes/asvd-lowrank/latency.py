"""Time of a LLaMA-7B layer's matrix as two factors, by the share of its parameters kept."""

import torch
from torch.nn import functional

from reproduce.recipes.blocks.replaying import replayed
from reproduce.recipes.context import Context, curve, level
from reproduce.recipes.toolbox import KERNEL, compare, profile

from .factors import rank_of

SHARES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
MAIN = 0.8


def measure(context: Context) -> None:
    """Measures speedup at 80 % kept; charts it over the share for many tokens."""
    device, shape = context.device, (context["hidden"], context["width"])
    kind = torch.float16 if device.type == "cuda" else torch.float32
    x = torch.randn(context["tokens"], shape[1], device=device).to(kind)
    weight = torch.randn(shape, device=device).to(kind)
    works = {"whole": replayed(lambda: functional.linear(x, weight), device)}
    for share in SHARES:
        rank = rank_of(shape, share) // 8 * 8  # tensor cores want multiples of 8
        left = torch.randn(shape[0], rank, device=device).to(kind)
        right = torch.randn(rank, shape[1], device=device).to(kind)
        works[f"{share:.0%}"] = replayed(
            lambda left=left, right=right: functional.linear(functional.linear(x, right), left), device
        )
    found = compare(works, "whole", profile(context.preset, KERNEL, max_s=3.0), device)
    context.keep("latency", found)
    ratios = [found.speedup(f"{share:.0%}") for share in SHARES]
    context.measure(
        "speedup",
        found.speedup(f"{MAIN:.0%}"),
        predicted=1 / MAIN,
        predicted_note="FLOP and bytes fall with the share of parameters kept; break-even is at one.",
        noise=found.noise(),
        detail={"shape": list(shape), "tokens": context["tokens"], "arms": found.figures()},
    )
    context.chart(
        "latency",
        "Speed of a LLaMA-7B matrix as two factors, against the whole",
        ("Share of the parameters kept", "fraction", False),
        ("Speed-up", "x", False),
        [
            curve("two factors", SHARES, ratios),
            {"label": "roofline limit", "x": list(SHARES), "y": [1 / share for share in SHARES]},
            level("break-even", SHARES, 1.0),
        ],
    )
