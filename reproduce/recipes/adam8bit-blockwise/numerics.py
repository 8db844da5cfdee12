"""Correctness first: errors of eight-bit codes, and of updates against Adam with 32-bit moments."""

import torch
from torch import nn

from reproduce.recipes.blocks import eight_bit
from reproduce.recipes.blocks.eight_bit import Quantised
from reproduce.recipes.context import Context

CODE_LIMIT = 0.02  # of a block's spread; seven bits over four spreads are 0.015 at worst, 0.005 on average
FIRST_LIMIT = 0.01  # of the first update's root mean square
LATER_LIMIT = 0.1  # of the distance that ten updates went
SHAPE = (64, 256)


def check(context: Context) -> None:
    """Guards codes, the first update and ten updates."""
    generator = torch.Generator(context.device).manual_seed(0)
    x = torch.randn(100_000, device=context.device, generator=generator)
    kept = Quantised.zeros(len(x), context.device, signed=True)
    kept.write(x)
    context.guard(
        "code_error",
        (kept.read() - x).double().square().mean().sqrt().item(),
        CODE_LIMIT,
        "Root mean square error of normal numbers of spread one, in blocks.",
    )
    for name, steps, limit in (("first_update", 1, FIRST_LIMIT), ("ten_updates", 10, LATER_LIMIT)):
        context.guard(
            name,
            _apart(context.device, steps),
            limit,
            f"Distance after {steps} update(s) to 32-bit Adam's weights, relative to how far those went.",
        )


def _apart(device: torch.device, steps: int) -> float:
    """Relative distance of weights after so many updates with the same random gradients."""
    ends, start = [], torch.zeros(SHAPE, device=device)
    for make in (torch.optim.AdamW, eight_bit.Adam8bit):
        weight = nn.Parameter(start.clone())
        generator = torch.Generator(device).manual_seed(1)
        rest = {"weight_decay": 0.0} if make is torch.optim.AdamW else {}
        optimizer = make([weight], lr=1e-3, betas=(0.9, 0.95), **rest)
        for _ in range(steps):
            weight.grad = torch.randn(SHAPE, device=device, generator=generator)
            optimizer.step()
        ends.append(weight.detach())
    return ((ends[1] - ends[0]).norm() / (ends[0] - start).norm()).item()
