"""From many key and value heads to few: by their mean, by the first of each group, or at random.

Source: the paper, section 2.1 and Figure 4.
"""

from collections.abc import Callable

import torch

Convert = Callable[[torch.Tensor, int, int], torch.Tensor]  # (weights, heads, groups) -> fewer rows


def mean(weights: torch.Tensor, heads: int, groups: int) -> torch.Tensor:
    """(heads x head width, width) to (groups x head width, width): the mean of each group."""
    return _grouped(weights, heads, groups).mean(1).flatten(0, 1)


def first(weights: torch.Tensor, heads: int, groups: int) -> torch.Tensor:
    """The first head of each group."""
    return _grouped(weights, heads, groups)[:, 0].flatten(0, 1)


def at_random(weights: torch.Tensor, heads: int, groups: int) -> torch.Tensor:
    """New random heads, as at the beginning of training."""
    return torch.randn_like(first(weights, heads, groups)) * 0.02


def _grouped(weights: torch.Tensor, heads: int, groups: int) -> torch.Tensor:
    """(groups, heads of a group, head width, width)."""
    return weights.view(groups, heads // groups, -1, weights.shape[-1])
