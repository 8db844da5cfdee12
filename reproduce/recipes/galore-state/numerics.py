"""Correctness first: projections are orthonormal and leading, and a projection that keeps all is AdamW."""

import torch
from torch import nn

from reproduce.recipes.context import Context

from . import galore

ORTHONORMAL_LIMIT, LEADING_LIMIT, ADAMW_LIMIT = 1e-4, 1e-3, 1e-5
SHAPE, RANK, STEPS = (96, 160), 24, 12


def check(context: Context) -> None:
    """Guards both bases, and the optimizer at full rank with the identity as its basis."""
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(*SHAPE, generator=generator).to(context.device)
    matrix = matrix * torch.logspace(0, -2, SHAPE[1], device=context.device)
    for name in ("leading", "sketched"):
        basis = getattr(galore, name)(matrix, RANK)
        apart = (basis.T @ basis - torch.eye(RANK, device=context.device)).abs().max().item()
        context.guard(f"{name}_orthonormal", apart, ORTHONORMAL_LIMIT, "Largest entry of P'P - I.")
    exact = torch.linalg.svdvals(matrix.double())[:RANK].norm()
    kept = (galore.leading(matrix, RANK).double().T @ matrix.double()).norm()
    context.guard(
        "basis_is_leading",
        (1 - kept / exact).abs().item(),
        LEADING_LIMIT,
        "Share of the leading singular values' norm that the projection loses, against 64-bit SVD.",
    )
    context.guard(
        "full_rank_is_adamw",
        _apart(context),
        ADAMW_LIMIT,
        f"Relative distance to AdamW's weights after {STEPS} steps, full rank, identity as the basis.",
    )


def _apart(context: Context) -> float:
    ends = []
    for ours in (True, False):
        generator = torch.Generator().manual_seed(1)
        weights = [nn.Parameter(torch.zeros(size, device=context.device)) for size in (SHAPE, SHAPE[::-1])]
        optimizer = _identity(weights) if ours else torch.optim.AdamW(weights, lr=1e-2, weight_decay=0.1)
        for _ in range(STEPS):
            for weight in weights:
                weight.grad = torch.randn(weight.shape, generator=generator).to(context.device)
            optimizer.step()
        ends.append(torch.cat([weight.detach().flatten() for weight in weights]))
    return ((ends[0] - ends[1]).norm() / ends[1].norm()).item()


def _identity(weights: list[nn.Parameter]) -> galore.GaLore:
    groups = [{"params": weights, "rank": min(SHAPE), "weight_decay": 0.1}]
    basis = lambda matrix, rank: torch.eye(len(matrix), rank, device=matrix.device)  # noqa: E731
    return galore.GaLore(groups, lr=1e-2, alpha=1.0, every=5, basis=basis)
