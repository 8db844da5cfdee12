"""Ratios of energy by batch, their signs, and how far they can be trusted."""

from reproduce.recipes.blocks.ordering import Pair, order_holds
from reproduce.recipes.context import Context, curve, level
from reproduce.recipes.intervals import Interval, mean_of
from reproduce.recipes.roofline import Probe

from . import decoding
from .joules import Spent

SCORED = {"smoke": (1, 4), "full": (16, 128)}  # the paper's small and large batch
REPEATS = 3
CLAIMED = (0.709, 1.2565)
STEADY = {"smoke": 100.0, "full": 0.05}  # RECIPES, part A.5; a shared CPU promises nothing


def report(context: Context, ceilings: Probe, spent: dict[int, Spent], idle: float | None) -> None:
    """Measures both ratios and whether their signs are the paper's; guards; charts."""
    small, large = (spent[batch] for batch in SCORED[context.preset])
    holds, signs = order_holds(
        Pair(f"saves at batch {small.batch}", small.speculative, small.alone),
        Pair(f"costs at batch {large.batch}", large.alone, large.speculative),
    )
    context.samples["windows"] = {str(batch): one.windows for batch, one in spent.items()}
    context.measure("signs", Interval(holds, holds, holds, REPEATS), detail={"orderings": signs})
    for name, one in (("energy_small_batch", small), ("energy_large_batch", large)):
        _report(context, ceilings, name, one, idle)
    context.measure("joules_per_token", mean_of(small.alone), detail={"batch": small.batch})
    context.guard(
        "windows_agree",
        max(small.spread(), large.spread()),
        STEADY[context.preset],
        "Largest relative distance between two windows of the same arm at a scored batch.",
    )
    context.guard(
        "clocks_kept",
        sum(one.slowed for one in spent.values()),
        0,
        "Windows after which the GPU named a reason for lower clocks other than its power cap.",
    )
    _charts(context, spent)


def _report(context: Context, ceilings: Probe, name: str, one: Spent, idle: float | None) -> None:
    bounds = decoding.least_seconds(context, ceilings, one.batch)
    above = one.above_idle
    net = [b / a for a, b in zip(above["alone"], above["speculative"], strict=True)]
    context.measure(
        name,
        mean_of(one.ratios),
        predicted=bounds[1] / bounds[0],
        predicted_note="Least seconds a token by bytes and FLOP, as if power were the same in both arms.",
        detail={
            "batch": one.batch,
            "tokens_an_iteration": one.tokens,
            "joules_a_token": {"alone": one.alone, "speculative": one.speculative},
            "above_idle_ratio": net,
            "idle_w": idle,
            "watts": one.watts,
        },
    )


def _charts(context: Context, spent: dict[int, Spent]) -> None:
    batches = list(spent)
    context.chart(
        "energy_ratio",
        "Energy a token of speculative decoding, by batch",
        ("Sequences in a batch", "", True),
        ("Speculative / alone", "x", False),
        [
            curve("measured", batches, [mean_of(one.ratios) for one in spent.values()]),
            level("claimed by the paper", batches, CLAIMED[0]),
            level("claimed at batch 128", batches, CLAIMED[1]),
            level("no difference", batches, 1.0),
        ],
    )
    context.chart(
        "energy_per_token",
        "Energy of a token by batch",
        ("Sequences in a batch", "", True),
        ("Energy", "J/token", True),
        [
            curve("alone", batches, [mean_of(one.alone) for one in spent.values()]),
            curve("speculative", batches, [mean_of(one.speculative) for one in spent.values()]),
        ],
    )
