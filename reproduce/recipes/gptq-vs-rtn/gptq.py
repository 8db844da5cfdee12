"""GPTQ itself: round a column to its rows' grids, spread its error over the columns after it.

Weights are (outputs, inputs). The grid of a row is fixed beforehand, from its smallest weight to its largest.
"""

import torch

from reproduce.recipes.blocks.hessian import inverse_factor, sweep
from reproduce.recipes.blocks.quantizing import Grid, asymmetric


def grid_of(weight: torch.Tensor, bits: int) -> Grid:
    """The rows' grids, for GPTQ and for rounding to nearest alike."""
    return asymmetric(weight, bits, (-1,))


def nearest(weight: torch.Tensor, bits: int) -> torch.Tensor:
    """The baseline: each weight rounded by itself."""
    return grid_of(weight, bits).nearest(weight)


def gptq(weight: torch.Tensor, products: torch.Tensor, bits: int) -> torch.Tensor:
    """The weights after GPTQ, given the sum of x x' over the layer's inputs.

    Raises torch.linalg.LinAlgError if the damped Hessian is not positive definite.
    """
    grid = grid_of(weight, bits)

    def rounded(part: torch.Tensor, _: torch.Tensor, column: int, start: int) -> torch.Tensor:
        return grid.nearest(part[:, column : column + 1])[:, 0]

    return sweep(weight, inverse_factor(products), rounded)


def off_grid(weight: torch.Tensor, original: torch.Tensor, bits: int) -> float:
    """The furthest that a weight lies from its row's grid, in steps."""
    grid = grid_of(original, bits)
    return ((weight - grid.nearest(weight)).abs() / grid.scale).max().item()
