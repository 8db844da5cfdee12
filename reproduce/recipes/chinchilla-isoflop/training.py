"""Trains every cell of the grid on endless text, three learning rates at once; the best rate counts."""

from dataclasses import dataclass

import numpy as np
import torch

from reproduce.recipes.blocks import fleet_starts
from reproduce.recipes.blocks.fleet import Fleet
from reproduce.recipes.blocks.fleet_learning import Windows, one_epoch, train
from reproduce.recipes.blocks.grammar import Grammar
from reproduce.recipes.blocks.learning import Plan
from reproduce.recipes.context import Context

from .fitting import Point
from .grid import LENGTH, Cell, flop_per_byte, parameters

LANGUAGE = 1
READ, HELD_OUT = 10, 11  # seeds of the text
BASE_RATE, BASE_WIDTH = 6e-3, 64  # the middle rate is inversely proportional to the width
RATES = (0.4, 1.0, 2.5)
LOST = 99.0  # nats a byte, in place of a loss that is not finite
SMOOTHED = 0.02  # training losses are averaged over the last 2 % of the steps so far, for the envelope


@dataclass(frozen=True)
class Text:
    """Bytes on the device: what is read, and windows held out."""

    content: torch.Tensor
    held_out: torch.Tensor  # (1, windows, LENGTH + 1)

    @classmethod
    def of(cls, size: int, windows: int, device: torch.device) -> "Text":
        """`size` bytes of the synthetic language to read once, and so many windows of other text of it."""
        language = Grammar(LANGUAGE)
        content = torch.from_numpy(language.text(size + 1, READ)).to(device)
        other = torch.from_numpy(language.text(windows * (LENGTH + 1), HELD_OUT)).to(device)
        return cls(content, other.view(1, windows, LENGTH + 1).long())


@dataclass(frozen=True)
class Run:
    """A trained cell: final losses by rate, and the course of the best."""

    cell: Cell
    rates: list[float]
    finals: list[float]
    losses: np.ndarray
    seconds: float

    @property
    def best(self) -> int:
        return int(np.argmin(self.finals))

    def point(self, budget: int) -> Point:
        """What the fits need."""
        shape, steps = self.cell.shape, np.arange(1, self.cell.steps + 1)
        return Point(
            budget,
            self.cell.flop,
            parameters(shape),
            parameters(shape, embeddings=False),
            self.cell.bytes,
            self.finals[self.best],
            steps * self.cell.bytes_per_step * flop_per_byte(shape),
            smoothed(self.losses),
        )


def run_cell(context: Context, cell: Cell, text: Text, number: int) -> Run:
    """Trains the cell at each rate, all from the same weights on the same text in the same order."""
    rates = [BASE_RATE * BASE_WIDTH / cell.shape.width * multiple for multiple in RATES]
    seeds, manner = [number] * len(rates), fleet_starts.manner(cell.shape.layers)
    fleet = fleet_starts.place(Fleet(cell.shape, seeds, context.device, manner))
    starts = one_epoch(cell.steps, cell.sequences, LENGTH, seed=number)
    plan = Plan(steps=cell.steps, rate=0.0, evaluations=1)
    found = train(
        fleet,
        Windows(text.content, starts, (LENGTH,)),
        plan,
        rates,
        lambda trained: trained.evaluate(text.held_out),
    )
    finals = found.final.nan_to_num(nan=LOST, posinf=LOST).tolist()
    best = found.losses[:, int(np.argmin(finals))].numpy().astype(float)
    return Run(cell, rates, finals, best, found.seconds[-1])


def smoothed(losses: np.ndarray) -> np.ndarray:
    """At each step the mean loss of the last 2 % of the steps so far, at least of the last ten."""
    ends = np.arange(1, len(losses) + 1)
    begins = np.maximum(0, ends - np.maximum(10, np.ceil(SMOOTHED * ends)).astype(int))
    total = np.concatenate(([0.0], np.cumsum(losses)))
    return (total[ends] - total[begins]) / (ends - begins)
