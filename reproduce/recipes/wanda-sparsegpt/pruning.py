"""Three ways to choose and remove weights (outputs, inputs): by magnitude, by Wanda's metric, by SparseGPT.

A mask is true where a weight goes. Sources: arXiv:2306.11695, section 3; arXiv:2301.00774, algorithm 1.
"""

from dataclasses import dataclass

import torch

from reproduce.recipes.blocks.hessian import BLOCK, inverse_factor, sweep


@dataclass(frozen=True)
class Pattern:
    """How much goes: a share of all weights, or `out` of every `of` neighbours in a row."""

    share: float
    of: int | None = None

    @property
    def out(self) -> int:
        return round(self.share * (self.of or 0))

    @property
    def name(self) -> str:
        return f"{self.of - self.out}:{self.of}" if self.of else f"{self.share:.0%}"


PATTERNS = (Pattern(0.5), Pattern(0.6), Pattern(0.7), Pattern(0.5, 4), Pattern(0.5, 8))


def magnitude(weight: torch.Tensor, products: torch.Tensor, pattern: Pattern) -> torch.Tensor:
    """The smallest weights of the whole layer go, or of every few neighbours."""
    return weight.masked_fill(_least_of_layer(weight.abs(), pattern), 0.0)


def magnitude_by_row(weight: torch.Tensor, products: torch.Tensor, pattern: Pattern) -> torch.Tensor:
    """The smallest weights of each row go: Wanda's comparison without its metric."""
    return weight.masked_fill(least(weight.abs(), pattern), 0.0)


def wanda(weight: torch.Tensor, products: torch.Tensor, pattern: Pattern) -> torch.Tensor:
    """Of each row, the weights go whose magnitude times their input's norm is least."""
    return weight.masked_fill(least(metric(weight, products.diagonal()), pattern), 0.0)


def wanda_by_layer(weight: torch.Tensor, products: torch.Tensor, pattern: Pattern) -> torch.Tensor:
    """Of the whole layer, the weights go whose magnitude times their input's norm is least."""
    return weight.masked_fill(_least_of_layer(metric(weight, products.diagonal()), pattern), 0.0)


def metric(weight: torch.Tensor, squares: torch.Tensor) -> torch.Tensor:
    """Wanda's: |w| times the norm of the input, given its sum of squares."""
    return weight.abs() * squares.sqrt()


def sparsegpt(weight: torch.Tensor, products: torch.Tensor, pattern: Pattern) -> torch.Tensor:
    """Weights go whose loss is least after all later ones have made up for it; they then do."""
    mask = torch.empty(0)

    def keep(part: torch.Tensor, local: torch.Tensor, column: int, start: int) -> torch.Tensor:
        nonlocal mask
        size = pattern.of or BLOCK
        if column % size == 0:
            scores = (part / local.diagonal())[:, column : column + size].square()
            mask = least(scores if pattern.of else scores.flatten()[None], pattern).view(scores.shape)
        return part[:, column].masked_fill(mask[:, column % size], 0.0)

    return sweep(weight, inverse_factor(products), keep)


def least(scores: torch.Tensor, pattern: Pattern) -> torch.Tensor:
    """Where the lowest scores of each row are, exactly as many as the pattern says."""
    parts = scores.unflatten(-1, (-1, pattern.of or scores.shape[-1]))
    count = pattern.out if pattern.of else int(pattern.share * parts.shape[-1])
    places = parts.topk(count, dim=-1, largest=False, sorted=False).indices
    return torch.zeros_like(parts, dtype=torch.bool).scatter_(-1, places, True).flatten(-2)


def _least_of_layer(scores: torch.Tensor, pattern: Pattern) -> torch.Tensor:
    """Where the lowest scores of the whole layer are, or of every few neighbours."""
    return least(scores if pattern.of else scores.flatten()[None], pattern).view(scores.shape)
