"""How a fleet begins when little compute is to be spent: with these starts small models learn at once.

Measured: with GPT-2's starts they spend their first 600 steps on letter pairs, with these 250.
"""

import torch

from reproduce.recipes.blocks.fleet import Fleet, Manner, Size
from reproduce.recipes.blocks.tinygpt import sinusoids

VERSION = 1
EMBEDDING, PLACES = 0.2, 0.3  # deviation of the bytes' vectors; size of the positions' sinusoids


def manner(layers: int) -> Manner:
    """One over the root of a matrix's inputs, less for what writes into the residual stream."""

    def deviation(name: str, size: Size) -> float:
        if name in ("embedding", "places"):
            return EMBEDDING
        return size[1] ** -0.5 / ((2 * layers) ** 0.5 if name.startswith(("out", "down")) else 1)

    return Manner(deviation=deviation)


def place(fleet: Fleet) -> Fleet:
    """Sets the learned positions to sinusoids: attending to the byte before is a rotation then."""
    shape = fleet.shape
    begin = shape.vocabulary * shape.width
    waves = PLACES * sinusoids(0, shape.length, shape.width, fleet.flat.device)
    with torch.no_grad():
        fleet.flat[:, begin : begin + waves.numel()] = waves.flatten().to(fleet.flat.dtype)
    return fleet
