"""Budgets, and for each the sizes among which its compute is spent: bytes to read follow from FLOP."""

import math
from dataclasses import dataclass

from reproduce.recipes.blocks.tinygpt import Shape
from reproduce.recipes.context import Context

HEAD = 16  # width of a head
NARROW = (
    8  # of one where the model's width is no multiple of that; only the smallest models are so finely spaced
)
FINE = 64  # below this width
ASPECT = (24, 40)  # width over layers, at least (but for the fewest layers) and at most
LAYERS = (2, 12)  # one layer cannot copy: its losses lie on a curve of their own
VOCABULARY = 256
LENGTH = 128
STEP = 10**0.5  # from one budget to the next
SPACING = 1.5  # from one size to the next


@dataclass(frozen=True)
class Cell:
    """One model size at one budget, in FLOP; `sequences` of LENGTH bytes make a training step."""

    budget: float
    shape: Shape
    sequences: int

    @property
    def steps(self) -> int:
        """Training steps that spend the budget."""
        return max(2, round(self.budget / flop_per_byte(self.shape) / self.bytes_per_step))

    @property
    def bytes_per_step(self) -> int:
        return self.sequences * LENGTH

    @property
    def bytes(self) -> int:
        """What it reads, once."""
        return self.steps * self.bytes_per_step

    @property
    def flop(self) -> float:
        """What it spends: the budget, but for whole steps."""
        return self.bytes * flop_per_byte(self.shape)


def cells(context: Context) -> list[list[Cell]]:
    """For each budget, smallest first, cells by rising size; the middle one reads `bytes_per_parameter`."""
    found = []
    for number in range(context["budgets"]):
        budget = context["smallest_budget"] * STEP**number
        middle = math.sqrt(budget / 6 / context["bytes_per_parameter"])
        offsets = [k - (context["sizes"] - 1) / 2 for k in range(context["sizes"])]
        shapes = sorted({shape_of(middle * SPACING**k) for k in offsets}, key=parameters)
        sequences = round(context["sequences"] * STEP ** (number / 3))
        found.append([Cell(budget, shape, sequences) for shape in shapes])
    return found


def shape_of(wanted: float) -> Shape:
    """The shape nearest to so many parameters, neither too slender nor too stout."""
    fewest, most = LAYERS
    shapes = [
        Shape(
            layers,
            width,
            width // (NARROW if width % HEAD else HEAD),
            LENGTH,
            VOCABULARY,
            positions="learned",
        )
        for layers in range(fewest, most + 1)
        for width in range(HEAD, ASPECT[1] * layers + 1, NARROW)
        if (width % HEAD == 0 or width < FINE) and (layers == fewest or width >= ASPECT[0] * layers)
    ]
    return min(shapes, key=lambda shape: abs(math.log(parameters(shape) / wanted)))


def parameters(shape: Shape, embeddings: bool = True) -> int:
    """Weights of all layers, and of the (shared) byte embedding if so asked."""
    inside = 12 * shape.layers * shape.width**2
    return inside + (shape.vocabulary * shape.width if embeddings else 0)


def flop_per_byte(shape: Shape) -> float:
    """Training FLOP for each byte read: embedding, layers, attention (all of the square) and logits.

    Source: arXiv:2203.15556, appendix F, without its term for the softmax; backward is twice forward.
    """
    products = parameters(shape, embeddings=False) + 2 * shape.vocabulary * shape.width
    attention = 2 * shape.layers * shape.width * shape.length
    return 3.0 * (2 * products + 2 * attention)
