"""The three sweeps: size at one proportion, shape at one size, and share of the text at one model."""

from dataclasses import dataclass

import numpy as np

from reproduce.recipes.blocks.text import Text
from reproduce.recipes.blocks.tinygpt import Shape
from reproduce.recipes.context import Context

from . import ladder
from .ladder import parameters, shape_of
from .learning import Tuned, at_best_rate, learn


@dataclass(frozen=True)
class Sweep:
    """Losses (seeds) at each x, and what else is worth keeping: norms, multiples of the usual rate."""

    x: list[float]
    losses: list[list[float]]
    norms: list[float]
    multiples: list[float]

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
    """Each shape's losses (seeds) at its best rate, and one seed's by multiple of the usual rate."""

    shapes: list[Shape]
    losses: list[list[float]]
    by_rate: list[dict[float, float]]
    norms: list[float]

    def corrected(self, exponent: float) -> np.ndarray:
        """(shapes, seeds): as if all had the first's parameters, by the fitted L(N), as the paper does."""
        sizes = np.array([parameters(shape) for shape in self.shapes], dtype=float)
        return np.array(self.losses) * (sizes / sizes[0])[:, None] ** exponent


def sizes(context: Context, text: Text) -> Sweep:
    """Loss over size, each at its best rate."""
    chosen = ladder.SIZES if context.full else ladder.SMOKE_SIZES
    models, found = [shape_of(*size) for size in chosen], []
    for number, shape in enumerate(models):
        context.progress(0.1 + 0.25 * number / len(models), f"{parameters(shape):,} parameters")
        found.append(at_best_rate(context, text, shape, context["steps"]))
    counts = [float(parameters(shape)) for shape in models]
    multiples = [each.multiple for each in found]
    return Sweep(counts, [each.losses for each in found], _norms(found), multiples)


def subsets(context: Context, text: Text, of_size: Sweep) -> Sweep:
    """Loss over bytes to learn from, the least of each run on the way, in one fleet at its size's rate."""
    shares = [2.0**-k for k in range(context["halvings"], -1, -1)]
    shape = shape_of(*(ladder.SUBSET_MODEL if context.full else ladder.SMOKE_SIZES[0]))
    multiple = of_size.multiples[of_size.x.index(parameters(shape))]
    seeds = [seed for _ in shares for seed in range(context["seeds"])]
    each = [share for share in shares for _ in range(context["seeds"])]
    context.progress(0.35, f"{len(shares)} shares of the text")
    found = learn(context, text, shape, seeds, [multiple] * len(seeds), context["steps"], each)
    losses = np.array(found.least).reshape(len(shares), -1).tolist()
    sizes = [share * len(text.train) for share in shares]
    return Sweep(sizes, losses, [found.norm], [multiple] * len(shares))


def shapes(context: Context, text: Text) -> Shapes:
    """Loss over shape, each at its best rate."""
    models = [shape_of(*size) for size in (ladder.SHAPES if context.full else ladder.SMOKE_SHAPES)]
    found = []
    for number, shape in enumerate(models):
        what = f"{shape.layers} layers of width {shape.width}"
        context.progress(0.45 + 0.53 * number / len(models), what)
        found.append(at_best_rate(context, text, shape, context["shape_steps"]))
    return Shapes(models, [each.losses for each in found], [each.tried for each in found], _norms(found))


def _norms(found: list[Tuned]) -> list[float]:
    return [norm for each in found for norm in each.norms]
