"""FLOP of training at equal parameters and tokens, by formula: what the convolution saves at 2K tokens."""

import math

from reproduce.recipes.context import Context

LENGTH, WIDTH = 2048, 1024  # of the 355M models that the paper trains at 2K
GATES, SHORT = 2, 3


def attention_layer(length: int, width: int) -> float:
    """Forward FLOP a token of a layer: projections and feed-forward 24 w^2, the n x n products 4 n w."""
    return 24 * width**2 + 4 * length * width


def hyena_layer(length: int, width: int) -> float:
    """Forward FLOP a token: the same weights; short convolutions, gates, two FFTs of twice the length."""
    transforms = 2 * 2.5 * 2 * math.log2(2 * length) + 6
    return 24 * width**2 + width * (2 * SHORT * 3 + GATES + transforms)


def measure(context: Context) -> None:
    """Measures flop_saved: exact, the same on any hardware."""
    layers = {"hyena": hyena_layer(LENGTH, WIDTH), "attention": attention_layer(LENGTH, WIDTH)}
    saved = 1 - layers["hyena"] / layers["attention"]
    context.measure("flop_saved", saved, detail={"flop_a_token_and_layer": layers, "width": WIDTH})
