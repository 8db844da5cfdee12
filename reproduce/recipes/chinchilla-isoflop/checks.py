"""What must hold before any exponent is believed: counted FLOP, and an estimator that finds planted ones."""

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from reproduce.recipes.blocks import counting
from reproduce.recipes.blocks.fleet import Fleet
from reproduce.recipes.context import Context

from . import fitting, grid
from .fitting import Point

COUNTED, PLANTED = 0.001, 0.02
# L = E + A / N^alpha + B / D^beta. Source: arXiv:2203.15556, approach 3; the scales are set below.
CONSTANT, ALPHA, BETA = 1.69, 0.34, 0.28


def counted(context: Context, cells: list[list[grid.Cell]]) -> None:
    """Guards flop_counted: FLOP of the smallest and largest model by formula, against those executed."""
    worst = 0.0
    for cell in (cells[0][0], cells[-1][-1]):
        fleet = Fleet(cell.shape, [0], torch.device("cpu"))
        ids = torch.zeros(1, 1, grid.LENGTH + 1, dtype=torch.long)
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
            forward = counting.flop(lambda fleet=fleet, ids=ids: fleet.loss(ids)) / grid.LENGTH
        worst = max(worst, abs(grid.flop_per_byte(cell.shape) / (3 * forward) - 1))
    context.guard("flop_counted", worst, COUNTED, "FLOP by formula against three forward passes, counted.")


def planted(context: Context, cells: list[list[grid.Cell]]) -> None:
    """Guards estimator: exponents from losses that follow the paper's own formula on this grid."""
    row = cells[len(cells) // 2]
    middle = row[len(row) // 2]
    points = [_planted(number, cell, middle) for number, row in enumerate(cells) for cell in row]
    found = fitting.isoflop(points, lambda point: point.size)
    expected = BETA / (ALPHA + BETA)
    detail = f"Planted a = {expected:.3f}, found {found:.3f} by the same parabolas on the same grid."
    context.guard("estimator", abs(found - expected), PLANTED, detail)


def _planted(number: int, cell: grid.Cell, middle: grid.Cell) -> Point:
    """A run with FLOP of exactly 6 N D whose loss the formula gives, least for the middle's budget there."""
    size, read = _spent(cell)
    best_size, best_read = _spent(middle)
    loss = CONSTANT + BETA * (size / best_size) ** -ALPHA + ALPHA * (read / best_read) ** -BETA
    none = np.empty(0)
    return Point(number, cell.budget, size, size, read, loss, none, none)


def _spent(cell: grid.Cell) -> tuple[float, float]:
    size = float(grid.parameters(cell.shape))
    return size, cell.budget / 6 / size
