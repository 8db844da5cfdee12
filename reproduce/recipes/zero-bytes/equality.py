"""Correctness first: after some steps every stage must hold the master weights of plain data parallelism."""

import torch
import torch.distributed as dist
from torch.nn.attention import SDPBackend, sdpa_kernel

from reproduce.recipes.context import Context

from .model import SHAPES, batch, modules
from .wire import Wire
from .zero import HALF, Trainer

STEPS = 5
LIMIT = 1e-6


def check(context: Context) -> None:
    """Guards the distance of each stage's master weights to stage 0's, relative to how far those moved."""
    start = _masters(context, stage=0, steps=0)
    plain = _masters(context, stage=0, steps=STEPS)
    moved = torch.cat(plain).sub(torch.cat(start)).norm()
    for stage in (1, 2, 3):
        found = _masters(context, stage, STEPS)
        mine = [_part(context, whole) for whole in plain]
        apart = torch.cat(found).sub(torch.cat(mine)).square().sum()
        dist.all_reduce(apart)
        context.guard(
            f"stage_{stage}_learns_the_same",
            torch.nan_to_num(apart.sqrt() / moved, nan=1.0, posinf=1.0).item(),
            LIMIT,
            f"Distance of the fp32 master weights to plain data parallelism's after {STEPS} steps, relative "
            "to the distance that those went.",
        )


def _masters(context: Context, stage: int, steps: int) -> list[torch.Tensor]:
    """Master weights that this process holds after so many steps; kernels that always add in one order."""
    shape = SHAPES["tiny"]
    trainer = Trainer(modules(shape, context.device, HALF), Wire(dist.group.WORLD), stage)
    with sdpa_kernel(SDPBackend.MATH):
        for step in range(steps):
            seed = 1 + step * context.world_size + context.rank
            trainer.step(batch(shape, context["batch"], context.device, seed))
    return [unit.master for unit in trainer.units]


def _part(context: Context, whole: torch.Tensor) -> torch.Tensor:
    """This process's share of a unit, padded as the stages pad."""
    padding = -len(whole) % context.world_size
    return torch.nn.functional.pad(whole, (0, padding)).chunk(context.world_size)[context.rank]
