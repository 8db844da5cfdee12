"""What structured pruning leaves of a decoder: fewer channels, or narrower layers in the middle."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from reproduce.recipes.blocks.zoo import Decoder, DecoderShape

FIRST, LAST = 1 / 8, 1 / 16  # of the layers stay whole at either end: 4 and 2 of Llama's 32
QUARTER = 0.25
ALIGNED = 8


@dataclass(frozen=True)
class Pruned:
    """A decoder's shape, and other heads and hidden widths for some of its layers."""

    shape: DecoderShape
    layers: Mapping[int, DecoderShape] = field(default_factory=dict)

    def build(self) -> Decoder:
        """The module, on the default device."""
        return Decoder(self.shape, self.layers)


def channels(shape: DecoderShape, share: float, multiple: int = ALIGNED) -> Pruned:
    """Without that share of the channels between layers; the width is rounded to a multiple."""
    return Pruned(replace(shape, width=max(multiple, _rounded(shape.width * (1 - share), multiple))))


def blocks(shape: DecoderShape, share: float = QUARTER) -> Pruned:
    """Without that share of heads and hidden units in all layers but the first and last few."""
    narrow = replace(
        shape,
        heads=max(1, round(shape.heads * (1 - share))),
        hidden=_rounded(shape.hidden * (1 - share), ALIGNED),
    )
    middle = range(round(shape.layers * FIRST), shape.layers - round(shape.layers * LAST))
    return Pruned(shape, dict.fromkeys(middle, narrow))


def _rounded(size: float, multiple: int) -> int:
    return round(size / multiple) * multiple
