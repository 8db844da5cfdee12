"""Time of a training step by stage: what sending more, and updating less, costs or saves here."""

from functools import partial

import torch
import torch.distributed as dist

from reproduce.recipes.context import Context
from reproduce.recipes.roofline import Probe
from reproduce.recipes.toolbox import STEP, compare, profile

from .model import SHAPES, batch, modules, size
from .wire import Wire
from .zero import HALF, Trainer

STAGES = (0, 1, 2, 3)


def measure(context: Context, ceilings: Probe) -> None:
    """Measures stage3_throughput relative to plain data parallelism; context, no claim."""
    shape = SHAPES[context["timed"]]
    batches = [batch(shape, context["batch"], context.device, seed=2 * context.rank + i) for i in range(2)]
    arms = {}
    for stage in STAGES:
        trainer = Trainer(modules(shape, context.device, HALF), Wire(dist.group.WORLD), stage)
        arms[f"stage {stage}"] = partial(_step, trainer, batches)
    how = profile(context.preset, STEP, max_s=5.0, min_s=2.0, min_rounds=8, warm_up_calls=3, calls=1)
    found = compare(arms, "stage 0", how, context.device)
    context.keep("steps", found)
    tokens = context["batch"] * shape.length
    multiplied = size(shape) - shape.vocabulary * shape.width  # looking up an embedding multiplies nothing
    least = 1e3 * ceilings.least_time(8 * multiplied * tokens)
    context.measure(
        "stage3_throughput",
        found.speedup("stage 3"),
        noise=found.noise(),
        detail={
            "shape": context["timed"],
            "arms": found.figures(),
            "fraction_of_limit": {
                "candidate": least / found.median("stage 3").value,
                "baseline": least / found.median("stage 0").value,
            },
        },
    )


def _step(trainer: Trainer, batches: list[torch.Tensor], call: int) -> None:
    trainer.step(batches[call % len(batches)])
