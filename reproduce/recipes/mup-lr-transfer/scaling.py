"""How weights start and learn as a model gets wider: the standard way, and the maximal update (muP).

Source: arXiv:2203.03466, table 3 (Adam) and definition 4.1. At the base width both are the same model.
"""

from collections.abc import Callable

from reproduce.recipes.blocks.fleet import Manner, Size
from reproduce.recipes.blocks.tinygpt import Shape

HEADS = 4  # whatever the width, so heads widen
INPUTS = ("embedding", "places")
INPUT_DEVIATION = 0.125  # whatever the width


def shape(width: int, layers: int, length: int) -> Shape:
    """A byte model of that width."""
    return Shape(layers, width, HEADS, length, positions="learned", tied=False)


def standard(width: int, base: int) -> Manner:
    """Each matrix starts with 1 / sqrt(inputs) and learns at the same rate; attention over sqrt(head)."""
    return Manner(deviation=_deviation)


def maximal_update(width: int, base: int) -> Manner:
    """Hidden and output matrices learn base / width as fast, outputs start smaller, attention over head."""
    return Manner(
        deviation=lambda name, size: (
            _deviation(name, size) * ((base / width) ** 0.5 if name == "head" else 1)
        ),
        rate=lambda name, size: 1.0 if name in INPUTS else base / width,
        attention=(base / HEADS) ** 0.5 / (width / HEADS),
    )


WAYS: dict[str, Callable[[int, int], Manner]] = {"muP": maximal_update, "standard": standard}


def _deviation(name: str, size: Size) -> float:
    return INPUT_DEVIATION if name in INPUTS else size[1] ** -0.5
