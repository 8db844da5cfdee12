"""Correctness first: each stage's gradients must be those of the whole model on the whole batch."""

import torch
import torch.distributed as dist

from reproduce.recipes.blocks.tinygpt import Shape
from reproduce.recipes.context import Context

from . import pipeline

LIMIT = 1e-5
SHAPE, BATCH = Shape(layers=4, width=64, heads=1, length=32), 8
COUNTS = (1, 4)


def check(context: Context) -> None:
    """Guards the largest relative distance of a stage's gradients, fp32, over all processes."""
    whole, arriving = pipeline.data(SHAPE, BATCH, context.device, torch.float32)
    exact = _plain(context, whole, arriving)
    for count in COUNTS:
        stage = pipeline.Stage(SHAPE, context.device, torch.float32)
        stage.step(whole, arriving, count)
        found = torch.cat([parameter.grad.flatten() for parameter in stage.parameters()])
        mine = exact.chunk(stage.size)[stage.rank]
        apart = ((found - mine).norm() / mine.norm()).nan_to_num(nan=1e9)
        dist.all_reduce(apart, dist.ReduceOp.MAX)
        context.guard(
            f"same_gradients_{count}",
            apart.item(),
            LIMIT,
            f"Relative distance of a stage's gradients to the whole model's, {count} micro-batch(es).",
        )


def _plain(context: Context, whole: torch.Tensor, arriving: torch.Tensor) -> torch.Tensor:
    """Gradients of all blocks, without a pipeline and without recomputation."""
    every = pipeline.blocks(SHAPE, context.device, torch.float32, seed=0)
    x = whole
    for block in every:
        x = block(x)
    x.backward(arriving)
    return torch.cat([p.grad.flatten() for block in every for p in block.parameters()])
