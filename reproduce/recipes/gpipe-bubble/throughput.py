"""Throughput of a step and idle time of its stages, by the number of micro-batches."""

from functools import partial

import torch
import torch.distributed as dist

from reproduce.recipes.blocks.tinygpt import Shape
from reproduce.recipes.context import Context, curve, level
from reproduce.recipes.intervals import Interval, median_of
from reproduce.recipes.roofline import Probe
from reproduce.recipes.toolbox import STEP, Comparison, compare, profile, synchronise

from .pipeline import Clock, Stage, data

IDLE_REPEATS = 3
CLAIMED = {4: 1.7, 32: 1.8}
BUBBLE_AT = 4


def measure(context: Context, ceilings: Probe) -> None:
    """Measures throughput_4, throughput_32 and bubble; charts all counts."""
    width, counts = context["width"], context["micro_batches"]
    half = torch.bfloat16 if context.device.type == "cuda" else torch.float32
    shape = Shape(context["layers"], width, max(1, width // 64), context["length"])
    stage = Stage(shape, context.device, half)
    whole, arriving = data(shape, context["batch"], context.device, half)
    run = partial(_step, stage, whole, arriving)
    context.progress(0.2, "throughput")
    arms = {_arm(count): partial(run, count) for count in counts}
    how = profile(context.preset, STEP, max_s=10.0, min_s=1.0, min_rounds=5, warm_up_calls=1, calls=1)
    found = compare(arms, _arm(counts[0]), how, context.device)
    context.keep("steps", found)
    tokens = context["batch"] * context["length"]
    flop = 8 * sum(p.numel() for p in stage.parameters()) * tokens  # forward twice, backward as much again
    least = 1e3 * ceilings.least_time(flop)
    for count in CLAIMED:
        _report(context, found, counts[0], count, least)
    context.progress(0.8, "idle time")
    idle = {count: _idle(context, stage, run, count) for count in counts}
    context.measure(
        "bubble",
        idle[BUBBLE_AT],
        predicted=bubble(BUBBLE_AT, stage.size),
        predicted_note="(K - 1) / (M + K - 1).",
        detail={"idle_by_micro_batches": {str(count): value.value for count, value in idle.items()}},
    )
    _charts(context, found, idle, stage.size)


def bubble(count: int, stages: int) -> float:
    """Idle share of an ideal pipeline. Source: arXiv:1811.06965, section 2.3."""
    return (stages - 1) / (count + stages - 1)


def gain(count: int, stages: int) -> float:
    """Throughput of an ideal pipeline relative to one micro-batch."""
    return (1 - bubble(count, stages)) / (1 - bubble(1, stages))


def _report(context: Context, found: Comparison, one: int, count: int, least: float) -> None:
    context.measure(
        f"throughput_{count}",
        found.speedup(_arm(count)),
        predicted=gain(count, context.world_size),
        predicted_note="An ideal pipeline: K M / (M + K - 1).",
        noise=found.noise(),
        detail={
            "arms": found.figures(),
            "baseline": _arm(one),
            "candidate": _arm(count),
            "fraction_of_limit": {
                "candidate": least / found.median(_arm(count)).value,
                "baseline": least / found.median(_arm(one)).value,
            },
        },
    )


def _arm(count: int) -> str:
    return f"{count} micro-batches"


def _step(
    stage: Stage,
    whole: torch.Tensor,
    arriving: torch.Tensor,
    count: int,
    call: int,
    clock: Clock | None = None,
) -> None:
    del call
    stage.step(whole, arriving, count, clock)


def _idle(context: Context, stage: Stage, run: partial[None], count: int) -> Interval:
    """Share of both stages' time in which they wait, over some steps."""
    found = []
    for _ in range(IDLE_REPEATS):
        clock = Clock(context.device)
        dist.barrier()
        synchronise(context.device)
        start = clock.now()
        run(count, 0, clock=clock)
        end = clock.now()
        synchronise(context.device)
        times = torch.tensor([clock.busy(), clock.between(start, end)], device=context.device)
        busy, longest = times[:1].clone(), times[1:].clone()
        dist.all_reduce(busy)
        dist.all_reduce(longest, dist.ReduceOp.MAX)
        found.append(1 - busy.item() / (stage.size * longest.item()))
    return median_of(found)


def _charts(context: Context, found: Comparison, idle: dict[int, Interval], stages: int) -> None:
    counts = list(idle)
    context.chart(
        "throughput_by_micro_batches",
        "Throughput by the number of micro-batches, relative to one",
        ("Micro-batches", "", True),
        ("Throughput", "x", False),
        [
            curve("measured", counts, [found.speedup(_arm(count)) for count in counts]),
            {"label": "roofline limit", "x": counts, "y": [gain(count, stages) for count in counts]},
            {"label": "claimed by the paper", "x": list(CLAIMED), "y": list(CLAIMED.values())},
        ],
    )
    context.chart(
        "idle_by_micro_batches",
        "Share of time in which a stage waits",
        ("Micro-batches", "", True),
        ("Idle", "fraction", False),
        [
            curve("measured", counts, list(idle.values())),
            {"label": "(K - 1) / (M + K - 1)", "x": counts, "y": [bubble(count, stages) for count in counts]},
            level("claimed by the paper", counts, 0.2),
        ],
    )
