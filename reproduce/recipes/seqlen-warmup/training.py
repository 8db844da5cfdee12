"""All learning rates and seeds of one schedule trained at once, judged at the full context."""

from dataclasses import dataclass
from itertools import pairwise

import torch

from reproduce.recipes.blocks.fleet import Fleet
from reproduce.recipes.blocks.fleet_learning import Curves, Windows, random_windows, train
from reproduce.recipes.blocks.learning import Plan
from reproduce.recipes.blocks.text import Text
from reproduce.recipes.blocks.tinygpt import Shape
from reproduce.recipes.context import Context

from .schedule import Lengths

EVALUATIONS = 12
HEAD = 64
Path = list[tuple[float, float, float]]  # (validation loss, tokens of a sequence, seconds) at each mark
SPIKE = 2.0  # times the lowest loss so far: diverged


@dataclass(frozen=True)
class Arm:
    """A schedule's models, rates in the outer order and seeds in the inner one."""

    lengths: Lengths
    curves: Curves
    starts: torch.Tensor
    rates: list[float]
    seeds: int

    def final(self, rate: int, seed: int) -> float:
        """The last validation loss; infinite if training diverged to no number."""
        loss = float(self.curves.final[rate * self.seeds + seed])
        return loss if loss == loss else float("inf")

    def best(self) -> int:
        """Which rate has the lowest mean final loss."""
        means = [sum(self.final(rate, seed) for seed in range(self.seeds)) for rate in range(len(self.rates))]
        return means.index(min(means))

    def path(self, rate: int, seed: int) -> Path:
        """(validation loss, tokens of a sequence, seconds) along the training of one model."""
        marks = zip(self.curves.validation, self.curves.marks, self.curves.seconds, strict=True)
        index = rate * self.seeds + seed
        return [(float(losses[index]), float(self.lengths.tokens(at)), spent) for losses, at, spent in marks]

    def diverged(self, rate: int, seed: int) -> bool:
        """Whether the training loss stopped being finite or rose above SPIKE times its lowest so far."""
        losses = self.curves.losses[:, rate * self.seeds + seed]
        lowest = torch.cummin(losses.nan_to_num(nan=0.0), 0).values
        return bool((~losses.isfinite()).any() or (losses[1:] > SPIKE * lowest[:-1]).any())

    def largest_stable(self, seed: int) -> float:
        """The largest rate below the first that diverges with that seed; half the lowest if none is."""
        stable = self.rates[0] / 2
        for index, rate in enumerate(self.rates):
            if self.diverged(index, seed):
                break
            stable = rate
        return stable


def learn(context: Context, text: Text, lengths: Lengths, report: str, share: tuple[float, float]) -> Arm:
    """Trains one schedule. Seeds draw the same windows in every schedule and at every rate."""
    full, seeds = context["context"], context["seeds"]
    rates = [2.0**power for power in sorted(context["powers"])]
    steps = len(lengths.each)
    shape = Shape(
        context["layers"], context["width"], max(1, context["width"] // HEAD), full, positions="learned"
    )
    fleet = Fleet(shape, list(range(seeds)) * len(rates), context.device)
    starts = torch.cat([windows(context, text, steps, seed) for seed in range(seeds)], dim=1)
    held_out = judged_on(context, text)[None]
    curves = train(
        fleet,
        Windows(text.train, starts.repeat(1, len(rates), 1), lengths.each),
        Plan(steps=steps, rate=0.0, evaluations=EVALUATIONS),
        [rate for rate in rates for _ in range(seeds)],
        evaluate=lambda models: models.evaluate(held_out, parts=context["judged"]),
        progress=lambda part: context.progress(share[0] + (share[1] - share[0]) * part, report),
    )
    return Arm(lengths, curves, starts, rates, seeds)


def windows(context: Context, text: Text, steps: int, seed: int) -> torch.Tensor:
    """(steps, 1, batch) starts of full-length windows; more steps begin with the same windows."""
    each = [
        random_windows(len(text.train), 1, 1, context["batch"], context["context"], seed * 1_000_003 + step)
        for step in range(steps)
    ]
    return torch.cat(each)


def judged_on(context: Context, text: Text) -> torch.Tensor:
    """(windows, context + 1) held-out ids."""
    return text.held_out(context["judged"], context["context"])


def reach(path: Path, target: float, column: int) -> float | None:
    """Tokens (column 1) or seconds (2) until the loss first falls to `target`, interpolated, or None."""
    if path[0][0] <= target:
        return path[0][column]
    for before, after in pairwise(path):
        if after[0] <= target:
            part = (before[0] - target) / (before[0] - after[0]) if before[0] > after[0] else 1.0
            return before[column] + part * (after[column] - before[column])
    return None


def gain(baseline: Path, other: Path, column: int) -> float:
    """Cost of the baseline to the worse of both final losses, over that of the other: above one it saves."""
    target = max(baseline[-1][0], other[-1][0])
    costs = [reach(path, target, column) or path[-1][column] for path in (baseline, other)]
    return costs[0] / costs[1]
