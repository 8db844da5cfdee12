"""The same errors for infinitely many dimensions: a convex problem in two numbers, overlap and margin.

For random data this is the classic result for the perceptron of largest margin (0.50 / alpha at last);
source of the pruned case: arXiv:2206.14486, section 3 and appendix A, at angle zero.
"""

import math

import torch

NODES = 48  # of the teacher's margin
GRID = 32  # of the test error, logarithmic; then as many between the neighbours of the best
LEAST, MOST = 1e-4, 0.5


def error(alpha: float, way: str, share: float) -> float:
    """Test error of the student that learns from alpha * N inputs, which are `share` of all there were.

    For each angle to the teacher the largest margin that all inputs can have; nature takes the best angle.
    """
    kept, low, high = _teacher_margins(way, share), math.log10(LEAST), math.log10(MOST)
    for _ in range(2):
        errors = torch.logspace(low, high, GRID, dtype=torch.float64)
        margins = _largest(alpha, errors, kept)
        best = min(max(int(margins.argmax()), 1), GRID - 2)
        low, high = math.log10(errors[best - 1]), math.log10(errors[best + 1])
    left, middle, right = (float(value) for value in margins[best - 1 : best + 2])
    bend = left - 2 * middle + right
    shift = 0.5 * (left - right) / bend if bend else 0.0
    return float(errors[best]) * float(errors[1] / errors[0]) ** shift


def _teacher_margins(way: str, share: float) -> tuple[torch.Tensor, torch.Tensor]:
    """(NODES,) margins of the kept inputs and their weights: a half-normal, cut where pruning cuts it.

    Closer together where margins are small, since there are the inputs that bind a good student.
    """
    even = (torch.arange(NODES, dtype=torch.float64) + 0.5) / NODES
    low, high = {"random": (0.0, 1.0), "hard": (0.0, share), "easy": (1 - share, 1.0)}[way]
    return torch.special.ndtri(0.5 + (low + (high - low) * even**3) / 2), 3 * even**2 / NODES


def _largest(alpha: float, errors: torch.Tensor, kept: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """For each error the margin k with alpha E max(0, k - field)^2 = 1 - overlap^2, by bisection."""
    angle, (teacher, weights) = (math.pi * errors)[:, None], kept
    low, high = torch.full_like(errors, -8.0), torch.full_like(errors, 60.0)
    for _ in range(44):
        middle = (low + high) / 2
        reach = (middle[:, None] - angle.cos() * teacher) / angle.sin()
        above = (reach**2 + 1) * torch.special.ndtr(reach) + reach * _density(reach)
        enough = alpha * above @ weights < 1  # both sides divided by 1 - overlap^2
        low, high = torch.where(enough, middle, low), torch.where(enough, high, middle)
    return (low + high) / 2


def _density(x: torch.Tensor) -> torch.Tensor:
    return torch.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
