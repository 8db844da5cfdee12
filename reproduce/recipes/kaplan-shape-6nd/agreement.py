"""Whether a model trained among others computes what it would alone, in 64 bits."""

import torch

from reproduce.recipes.blocks import fleet_starts
from reproduce.recipes.blocks.fleet import Fleet
from reproduce.recipes.context import Context

from . import ladder

LIMIT = {"cuda": 0.01, "cpu": 1e-5}  # bf16 products on a GPU


def check(context: Context) -> None:
    """Guards fleet_agrees: losses of the deepest shape in a fleet against each member alone, in 64 bits."""
    shape = ladder.shape_of(*(ladder.SHAPES if context.full else ladder.SMOKE_SHAPES)[-1])
    manner = fleet_starts.manner(shape.layers)
    fleet = fleet_starts.place(Fleet(shape, [5, 6], context.device, manner))
    ids = torch.randint(256, (2, 2, 65), generator=torch.Generator().manual_seed(5)).to(context.device)
    with torch.no_grad():
        losses = fleet.loss(ids)
        exact = [fleet.member(index).double().loss(ids[index]) for index in range(2)]
    worst = max(abs(float(found / right) - 1) for found, right in zip(losses, exact, strict=True))
    limit = LIMIT[context.device.type]
    context.guard("fleet_agrees", worst, limit, "A fleet's losses against its members' in 64 bits, relative.")
