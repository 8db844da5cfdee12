"""Trains models on Python's own source: sizes, shapes at their best rate, and shares of the text."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from reproduce.recipes.blocks import fleet_starts
from reproduce.recipes.blocks.fleet import Fleet
from reproduce.recipes.blocks.fleet_learning import Windows, random_windows, train
from reproduce.recipes.blocks.learning import Plan
from reproduce.recipes.blocks.text import Text
from reproduce.recipes.blocks.tinygpt import Shape
from reproduce.recipes.context import Context

from .ladder import LENGTH

BASE_RATE, BASE_WIDTH = 5e-3, 64  # the middle rate is inversely proportional to the width
RATES = (0.4, 1.0, 2.5)
MARKS = 8
LOST = 99.0  # nats a byte, in place of a loss that is not finite


@dataclass(frozen=True)
class Trained:
    """Held-out losses (models,) at the end and the least on the way; gradients' largest norm."""

    final: list[float]
    least: list[float]
    norm: float


def rate_of(shape: Shape, multiple: float = 1.0) -> float:
    """A peak learning rate for this width."""
    return multiple * BASE_RATE * BASE_WIDTH / shape.width


def learn(
    context: Context,
    text: Text,
    shape: Shape,
    seeds: Sequence[int],
    multiples: Sequence[float],
    steps: int,
    shares: Sequence[float] = (),
) -> Trained:
    """One model for each seed, at its multiple of the usual rate, on its share of the text (or all of it)."""
    device = context.device
    fleet = fleet_starts.place(Fleet(shape, seeds, device, fleet_starts.manner(shape.layers)))
    batch, size = context["sequences"], len(text.train)
    starts = torch.cat(
        [
            random_windows(int(share * size), steps, 1, batch, LENGTH, seed)
            for seed, share in zip(seeds, shares or [1.0] * len(seeds), strict=True)
        ],
        dim=1,
    )
    held_out = text.held_out(context["windows"], LENGTH)[None]
    plan = Plan(steps=steps, rate=0.0, evaluations=MARKS)
    rates = [rate_of(shape, multiple) for multiple in multiples]
    found = train(fleet, Windows(text.train, starts, (LENGTH,)), plan, rates, lambda f: f.evaluate(held_out))
    course = torch.stack(found.validation).nan_to_num(nan=LOST, posinf=LOST)
    return Trained(course[-1].tolist(), course.amin(0).tolist(), float(found.norms.max()))
