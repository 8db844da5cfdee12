"""The three sweeps: size at one proportion, shape at one size, and share of the text at one model."""

from dataclasses import dataclass

import numpy as np

from reproduce.recipes.blocks.text import Text
from reproduce.recipes.blocks.tinygpt import Shape
from reproduce.recipes.context import Context

from . import ladder
from .ladder import parameters, shape_of
from .learning import RATES, Trained, learn


@dataclass(frozen=True)
class Sweep:
    """Losses (seeds) at each x, and what else is worth keeping."""

    x: list[float]
    losses: list[list[float]]
    norms: list[float]

    def means(self) -> np.ndarray:
        """The mean loss at each x."""
        return np.array(self.losses).mean(axis=1)

    def exponents(self) -> list[float]:
        """For each seed the power by which losses fall as x grows."""
        return [-float(np.polyfit(np.log(self.x), np.log(each), 1)[0]) for each in np.array(self.losses).T]

    def straightness(self) -> float:
        """Correlation of the logarithms, one for a falling power law."""
        return -float(np.corrcoef(np.log(self.x), np.log(self.means()))[0, 1])


@dataclass(frozen=True)
class Shapes:
    """Each shape's losses (seeds) at its best rate, and the losses of one seed at every rate."""

    shapes: list[Shape]
    losses: list[list[float]]
    by_rate: list[list[float]]
    norms: list[float]

    def corrected(self, exponent: float) -> np.ndarray:
        """(shapes, seeds): as if all had the first's parameters, by the fitted L(N), as the paper does."""
        sizes = np.array([parameters(shape) for shape in self.shapes], dtype=float)
        return np.array(self.losses) * (sizes / sizes[0])[:, None] ** exponent


def sizes(context: Context, text: Text) -> Sweep:
    """Loss over size, all at the usual rate."""
    chosen = ladder.SIZES if context.full else ladder.SMOKE_SIZES
    shapes = [shape_of(*size) for size in chosen]
    seeds = range(context["seeds"])
    found = []
    for number, shape in enumerate(shapes):
        context.progress(0.1 + 0.2 * number / len(shapes), f"{parameters(shape):,} parameters")
        found.append(learn(context, text, shape, seeds, [1.0] * len(seeds), context["steps"]))
    return _sweep([float(parameters(shape)) for shape in shapes], found)


def subsets(context: Context, text: Text) -> Sweep:
    """Loss over bytes to learn from, the least of each run on the way, all in one fleet."""
    shares = [2.0**-k for k in range(context["halvings"], -1, -1)]
    shape = shape_of(*(ladder.SUBSET_MODEL if context.full else ladder.SMOKE_SIZES[0]))
    seeds = [seed for _ in shares for seed in range(context["seeds"])]
    each = [share for share in shares for _ in range(context["seeds"])]
    context.progress(0.3, f"{len(shares)} shares of the text")
    found = learn(context, text, shape, seeds, [1.0] * len(seeds), context["steps"], each)
    losses = np.array(found.least).reshape(len(shares), -1).tolist()
    return Sweep([share * len(text.train) for share in shares], losses, [found.norm])


def shapes(context: Context, text: Text) -> Shapes:
    """Loss over shape: one seed at every rate, then the others at the best."""
    steps = context["shape_steps"]
    models = [shape_of(*size) for size in (ladder.SHAPES if context.full else ladder.SMOKE_SHAPES)]
    found = Shapes(models, [], [], [])
    for number, shape in enumerate(models):
        what = f"{shape.layers} layers of width {shape.width}"
        context.progress(0.4 + 0.58 * number / len(models), what)
        searched = learn(context, text, shape, [0] * len(RATES), RATES, steps)
        best = int(np.argmin(searched.final))
        others = range(1, context["seeds"])
        rest = learn(context, text, shape, others, [RATES[best]] * len(others), steps)
        found.losses.append([searched.final[best], *rest.final])
        found.by_rate.append(searched.final)
        found.norms.extend((searched.norm, rest.norm))
    return found


def _sweep(x: list[float], found: list[Trained]) -> Sweep:
    return Sweep(x, [each.final for each in found], [each.norm for each in found])
