"""Trains every cell of the grid on endless text, all rates and seeds at once; the best rate's mean counts."""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

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
KERNELS = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]  # narrow heads too
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
    """A trained cell: final losses for each rate and seed, and the mean course at the best rate."""

    cell: Cell
    rates: list[float]
    each: np.ndarray  # (rates, seeds)
    losses: np.ndarray
    seconds: float

    @property
    def finals(self) -> list[float]:
        """Mean over seeds at each rate."""
        return self.each.mean(1).tolist()

    @property
    def best(self) -> int:
        return int(self.each.mean(1).argmin())

    @property
    def spread(self) -> float:
        """Standard deviation between seeds at the best rate, relative to the loss; 0 if there is one."""
        seeds = self.each[self.best]
        return float(seeds.std(ddof=1) / seeds.mean()) if len(seeds) > 1 else 0.0

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
    """Trains the cell at each rate and seed; a seed is of the weights, and of the order of the same text."""
    seeds = [number * context["seeds"] + seed for seed in range(context["seeds"])]
    rates = [BASE_RATE * BASE_WIDTH / cell.shape.width * multiple for multiple in RATES]
    manner = fleet_starts.manner(cell.shape.layers)
    fleet = fleet_starts.place(Fleet(cell.shape, seeds * len(rates), context.device, manner))
    orders = [one_epoch(cell.steps, cell.sequences, LENGTH, seed=seed) for seed in seeds]
    with sdpa_kernel(KERNELS):
        found = train(
            fleet,
            Windows(text.content, torch.cat(orders * len(rates), dim=1), (LENGTH,)),
            Plan(steps=cell.steps, rate=0.0, evaluations=1),
            [rate for rate in rates for _ in seeds],
            lambda trained: trained.evaluate(text.held_out),
        )
    each = found.final.nan_to_num(nan=LOST, posinf=LOST).view(len(rates), -1).numpy().astype(float)
    course = found.losses.unflatten(1, each.shape)[:, int(each.mean(1).argmin())].mean(1)
    return Run(cell, rates, each, course.numpy().astype(float), found.seconds[-1])


def smoothed(losses: np.ndarray) -> np.ndarray:
    """At each step the mean loss of the last 2 % of the steps so far, at least of the last ten."""
    ends = np.arange(1, len(losses) + 1)
    begins = np.maximum(0, ends - np.maximum(10, np.ceil(SMOOTHED * ends)).astype(int))
    total = np.concatenate(([0.0], np.cumsum(losses)))
    return (total[ends] - total[begins]) / (ends - begins)
