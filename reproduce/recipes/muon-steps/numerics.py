"""Correctness first: what Newton-Schulz makes is nearly orthogonal, and updates have the size they should."""

import torch
from torch import nn

from reproduce.recipes.context import Context

from . import muon

SPREAD_LIMIT = 0.4  # the coefficients trade accuracy for speed: singular values end between 0.7 and 1.2
VECTORS_LIMIT = 0.25
RMS_LIMIT = 0.2
SHAPES = ((64, 256), (256, 64), (128, 128))


def check(context: Context) -> None:
    """Guards singular values and vectors against 64-bit SVD, and the update's root mean square."""
    spread, turned, rms = [], [], []
    for index, shape in enumerate(SHAPES):
        matrix = _conditioned(shape, index).to(context.device)
        found = muon.orthogonal(matrix[None])[0].double()
        left, _, right = torch.linalg.svd(matrix.double(), full_matrices=False)
        spread.append((torch.linalg.svdvals(found.nan_to_num()) - 1).abs().max())
        exact = left @ right
        turned.append(1 - (found * exact).sum() / (found.norm() * exact.norm()))
        rms.append((_update(matrix).square().mean().sqrt() / muon.UPDATE_RMS - 1).abs())
    context.guard(
        "singular_values", _most(spread), SPREAD_LIMIT, "Largest distance of a singular value to one."
    )
    context.guard(
        "singular_vectors",
        _most(turned),
        VECTORS_LIMIT,
        "One minus the cosine to the exact orthogonal factor.",
    )
    context.guard(
        "update_rms",
        _most(rms),
        RMS_LIMIT,
        f"Relative distance of an update's root mean square to {muon.UPDATE_RMS}.",
    )


def _most(values: list[torch.Tensor]) -> float:
    """The largest; what is not a number is as bad as can be."""
    return torch.stack([value.double() for value in values]).nan_to_num(nan=1e9).max().item()


def _conditioned(shape: tuple[int, int], seed: int) -> torch.Tensor:
    """A random matrix whose singular values go from 1 to 0.1."""
    generator = torch.Generator().manual_seed(seed)
    left, values, right = torch.linalg.svd(torch.randn(shape, generator=generator), full_matrices=False)
    return left @ torch.diag(torch.logspace(0, -1, len(values))) @ right


def _update(matrix: torch.Tensor) -> torch.Tensor:
    """What one step at rate one takes from a matrix of zeros whose gradient is `matrix`."""
    weight = nn.Parameter(torch.zeros_like(matrix))
    weight.grad = matrix
    muon.Muon([{"params": [weight], "orthogonal": True}], lr=1.0, betas=(0.9, 0.95)).step()
    return weight.detach()
