"""Trains models on Python's own source, each shape at its best rate, on all of the text or shares of it."""

from collections.abc import Mapping, Sequence
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

BASE_RATE, BASE_WIDTH = 5e-3, 64  # the usual rate is inversely proportional to the width
RATES = (1.0, 2.0, 4.0, 8.0)  # multiples of it that are tried first
MOST_RATES = 7
MARKS = 8
LOST = 99.0  # nats a byte, in place of a loss that is not finite


@dataclass(frozen=True)
class Trained:
    """Held-out losses (models,) at the end and the least on the way; gradients' largest norm."""

    final: list[float]
    least: list[float]
    norm: float


@dataclass(frozen=True)
class Tuned:
    """Held-out losses (seeds) at the best multiple of the usual rate, the first seed's at all tried."""

    losses: list[float]
    tried: dict[float, float]
    norms: list[float]

    @property
    def multiple(self) -> float:
        """The best."""
        return best_of(self.tried)


def best_of(tried: Mapping[float, float]) -> float:
    """The multiple of the least loss."""
    return min(tried, key=tried.__getitem__)


def beyond(tried: Mapping[float, float]) -> list[float]:
    """The next multiple to try where the best is an end of those tried; none if it is not, or after many."""
    best = best_of(tried)
    if len(tried) >= MOST_RATES or min(tried) < best < max(tried):
        return []
    return [best * 2 if best == max(tried) else best / 2]


def at_best_rate(context: Context, text: Text, shape: Shape, steps: int) -> Tuned:
    """The first seed at every rate, more until the best is no end of them; other seeds at the best."""
    tried, norms, ahead = {}, [], list(RATES)
    while ahead:
        found = learn(context, text, shape, [0] * len(ahead), ahead, steps)
        tried |= dict(zip(ahead, found.final, strict=True))
        norms.append(found.norm)
        ahead = beyond(tried)
    others, best = range(1, context["seeds"]), best_of(tried)
    rest = learn(context, text, shape, others, [best] * len(others), steps)
    return Tuned([tried[best], *rest.final], dict(sorted(tried.items())), [*norms, rest.norm])


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
