"""Both arms: all learning rates and seeds at once, on the same windows of text in the same order."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch

from reproduce.recipes.blocks import fleet_starts
from reproduce.recipes.blocks.fleet import Fleet
from reproduce.recipes.blocks.fleet_learning import Windows, random_windows, train
from reproduce.recipes.blocks.learning import Curve
from reproduce.recipes.blocks.text import Text
from reproduce.recipes.blocks.tinygpt import Shape
from reproduce.recipes.context import Context

from .schedule import plan_of

LAYERS, HEAD = 6, 64
UNIT_OF_RATE = 1e-4
MARKS = 24
SPIKE, TOGETHER = 2.0, 5  # five losses in a row at so many times the lowest five so far have diverged
LASTING, RISEN = 0.05, 1.2  # or the last 5 % of the losses lie so far above the lowest 5 % in a row


@dataclass(frozen=True)
class Arm:
    """Curves by rate and seed, whose marks are tokens read by each model."""

    lengths: tuple[int, ...]
    curves: list[list[Curve]]

    def final(self) -> np.ndarray:
        """(rates, seeds) last validation losses; infinite where it is not a number."""
        finals = np.array([[curve.final for curve in row] for row in self.curves])
        return np.nan_to_num(finals, nan=np.inf)

    def unstable(self) -> np.ndarray:
        """(rates, seeds) whether a run diverged."""
        return np.array([[unstable(curve) for curve in row] for row in self.curves])

    @property
    def best(self) -> int:
        """The rate of the least mean loss."""
        return int(self.final().mean(axis=1).argmin())


def shape_of(context: Context) -> Shape:
    """The model of both arms."""
    width = context["width"]
    layers = LAYERS if context.full else 1
    return Shape(layers, width, max(1, width // HEAD), context["length"], positions="learned")


def fleet_of(context: Context, seeds: Sequence[int]) -> Fleet:
    """One model for each seed, each at the start that is good for small compute."""
    shape = shape_of(context)
    return fleet_starts.place(Fleet(shape, seeds, context.device, fleet_starts.manner(shape.layers)))


def windows_of(context: Context, size: int, steps: int) -> torch.Tensor:
    """(steps, rates * seeds, sequences) where windows begin: the same for every rate, and for both arms."""
    parts = [
        random_windows(size, steps, 1, context["sequences"], context["length"], seed)
        for seed in range(context["seeds"])
    ]
    return torch.cat(parts * len(context["rates"]), dim=1)


def run_arm(
    context: Context, text: Text, lengths: tuple[int, ...], starts: torch.Tensor, said: tuple[str, float]
) -> Arm:
    """Trains every rate and seed; `said` is the arm's name and the progress at its beginning."""
    rates, count = context["rates"], context["seeds"]
    fleet = fleet_of(context, list(range(count)) * len(rates))
    held_out = text.held_out(context["windows"], context["length"])[None]
    found = train(
        fleet,
        Windows(text.train, starts[: len(lengths)], lengths),
        plan_of(lengths, MARKS),
        [rate * UNIT_OF_RATE for rate in rates for _ in range(count)],
        lambda trained: trained.evaluate(held_out),
        lambda share: context.progress(said[1] + 0.45 * share, said[0]),
    )
    tokens = [context["sequences"] * done for done in accumulate(lengths)]
    marks, validation = [tokens[mark - 1] for mark in found.marks], torch.stack(found.validation)
    curves = [
        Curve(found.losses[:, model].tolist(), marks, validation[:, model].tolist(), found.seconds)
        for model in range(fleet.count)
    ]
    return Arm(lengths, [curves[row * count : (row + 1) * count] for row in range(len(rates))])


def unstable(curve: Curve) -> bool:
    """Whether the loss was not finite, spiked, or ended far above where it had been."""
    if not np.isfinite([*curve.losses, curve.final]).all():
        return True
    spiked = (means := _means(curve, TOGETHER)) > SPIKE * np.minimum.accumulate(means)
    means = _means(curve, max(1, round(LASTING * len(curve.losses))))
    return bool(spiked.any() or means[-1] > RISEN * means.min())


def _means(curve: Curve, width: int) -> np.ndarray:
    """Means of so many losses in a row: single steps of short sequences are noisy."""
    return np.convolve(curve.losses, np.full(width, 1 / width), mode="valid")
