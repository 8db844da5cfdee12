"""One width at all learning rates and seeds, as many models at once as memory takes; and checks of widths."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from reproduce.recipes.blocks.fleet import Fleet
from reproduce.recipes.blocks.fleet_learning import Windows, random_windows, train
from reproduce.recipes.blocks.learning import Plan
from reproduce.recipes.blocks.text import Text
from reproduce.recipes.context import Context

from . import scaling

AT_ONCE = 6e8  # parameters of all models of a fleet
WARM_UP = 0.1
CHECKED_STEPS, CHECKED_RATE, CHECKED_SEEDS = 10, 2.0**-9, 4


@dataclass(frozen=True)
class Sweep:
    """Final validation losses, (rates, seeds), infinite where training diverged; with cost."""

    losses: torch.Tensor
    seconds: float
    flop: float

    def best(self, seeds: Sequence[int] | slice = slice(None)) -> int:
        """Which rate has the lowest mean loss over those seeds."""
        return int(self.losses[:, seeds].mean(1).argmin())


def sweep(context: Context, text: Text, way: str, width: int) -> Sweep:
    """Trains every rate and seed; a seed's models begin alike and see the same windows."""
    rates, seeds = [2.0**power for power in context["powers"]], list(range(context["seeds"]))
    group = max(1, min(len(seeds), int(AT_ONCE / (12 * context["layers"] * width**2 * len(rates)))))
    losses, seconds, flop = [], 0.0, 0.0
    for begin in range(0, len(seeds), group):
        some = seeds[begin : begin + group]
        fleet = build(context, way, width, [seed for seed in some for _ in rates])
        starts = [_starts(context, text, seed).expand(-1, len(rates), -1) for seed in some]
        held_out = text.held_out(8 * context["batch"], context["length"])[None]
        curves = train(
            fleet,
            Windows(text.train, torch.cat(starts, dim=1), (context["length"],)),
            plan(context["steps"]),
            rates * len(some),
            evaluate=lambda models, tokens=held_out: models.evaluate(tokens),
        )
        losses.append(curves.final.view(len(some), len(rates)).T)
        seconds += curves.seconds[-1]
        flop += 6.0 * fleet.parameters() * starts[0][:, 0].numel() * context["length"] * fleet.count
    found = torch.cat(losses, dim=1).double()
    return Sweep(found.nan_to_num(nan=math.inf), seconds, flop)


def build(context: Context, way: str, width: int, seeds: list[int]) -> Fleet:
    """Models of one width in that way, untrained."""
    shape = scaling.shape(width, context["layers"], context["length"])
    return Fleet(shape, seeds, context.device, scaling.WAYS[way](width, min(context["widths"])))


def plan(steps: int) -> Plan:
    """Adam without weight decay or clipping, which would hide what a rate does."""
    return Plan(steps=steps, rate=0.0, warm_up=WARM_UP, clip=0.0, weight_decay=0.0, evaluations=1)


def coordinates(context: Context, text: Text, way: str, width: int) -> list[float]:
    """Mean size of what each feed-forward layer adds, after a few steps at one rate; over a few seeds."""
    fleet = build(context, way, width, list(range(CHECKED_SEEDS)))
    starts = _starts(context, text, 0)[: min(CHECKED_STEPS, context["steps"])]
    windows = Windows(text.train, starts, (context["length"],))
    train(fleet, windows, plan(len(starts)), [CHECKED_RATE] * CHECKED_SEEDS)
    seen: list[float] = []

    def watch(name: str, added: torch.Tensor) -> None:
        if name.startswith("forward"):
            seen.append(added.float().abs().mean().item())

    with torch.no_grad():
        fleet.logits(text.held_out(context["batch"], context["length"])[None, :, :-1], watch)
    return seen


def _starts(context: Context, text: Text, seed: int) -> torch.Tensor:
    return random_windows(len(text.train), context["steps"], 1, context["batch"], context["length"], seed)
