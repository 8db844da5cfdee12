"""Linear layers in int8 by the schemes of the paper's table 1. x is (tokens, inputs), w (outputs, inputs)."""

import torch
from torch import nn

from reproduce.recipes.blocks.int8 import product
from reproduce.recipes.blocks.quantizing import Grid, asymmetric, symmetric

THRESHOLD = 6.0  # of an outlier: arXiv:2208.07339, section 3.2
ALL, EACH = (0, 1), (1,)  # one grid for a whole matrix, or one for each of its rows


def tensor_wise(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """Absmax: one scale for all tokens, one for all weights."""
    return multiplied(x, symmetric(x, 8, ALL), w, symmetric(w, 8, ALL))


def zero_point(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """From the smallest to the largest activation, so that skewed ones use all codes."""
    grid, weights = asymmetric(x, 8, ALL), symmetric(w, 8, ALL)
    moved = Grid(grid.scale, grid.offset + 128 * grid.scale, -128, 127)
    return multiplied(x, moved, w, weights)


def row_wise(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """A scale for each token, one for all weights."""
    return multiplied(x, symmetric(x, 8, EACH), w, symmetric(w, 8, ALL))


def vector_wise(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """A scale for each token, one for each output."""
    return multiplied(x, symmetric(x, 8, EACH), w, symmetric(w, 8, EACH))


def decomposed(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """LLM.int8(): vector-wise, but features with an outlier among the tokens stay as they are."""
    apart = outliers(x)
    return vector_wise(x * ~apart, w * ~apart) + x[:, apart] @ w[:, apart].T


def outliers(x: torch.Tensor) -> torch.Tensor:
    """(inputs,) whether any token exceeds the threshold there."""
    return x.abs().amax(0) > THRESHOLD


def multiplied(x: torch.Tensor, rows: Grid, w: torch.Tensor, columns: Grid) -> torch.Tensor:
    """The int8 product of both on their grids; an offset of x is added through the weights' sums."""
    codes = columns.codes(w).to(torch.int8)
    scaled = product(rows.codes(x).to(torch.int8), codes).float() * rows.scale * columns.scale.T
    return scaled + rows.offset * (codes.sum(1) * columns.scale.T)


SCHEMES = {
    "absmax": tensor_wise,
    "zero-point": zero_point,
    "row-wise": row_wise,
    "vector-wise": vector_wise,
    "LLM.int8()": decomposed,
}


class Int8Linear(nn.Module):
    """A linear layer without bias, by one of the schemes."""

    def __init__(self, weight: torch.Tensor, scheme: str) -> None:
        super().__init__()
        self.weight, self.scheme = weight, SCHEMES[scheme]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scheme(x.flatten(0, -2), self.weight).unflatten(0, x.shape[:-1])
