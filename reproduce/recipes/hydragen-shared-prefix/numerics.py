"""Correctness: the divided attention is the undivided one, in fp32 and in the format that is timed."""

import torch

from reproduce.recipes.context import Context

from .attention import Caches

SINGLE, HALF = 1e-6, 1e-3  # root mean square errors: RECIPES, section 75
NO_WORSE = 2.0
BATCH, PREFIX, SUFFIX = 8, 512, 32


def check(context: Context, dtype: torch.dtype) -> None:
    """Guards both divided ways against undivided attention in fp64."""
    size = (context["heads"], context["head_dim"])
    for part, kind, limit in (("fp32", torch.float32, SINGLE), ("timed", dtype, HALF)):
        q = torch.randn(BATCH, *size, device=context.device).to(kind)
        caches = Caches.random(BATCH, PREFIX, SUFFIX, size, q)
        exact = Caches(*(tuple(t.double() for t in pair) for pair in (caches.prefix, caches.suffix)))
        wanted = exact.replicated().undivided(q.double())
        plain = _error(caches.replicated().undivided(q), wanted)
        for name in ("hydragen", "shared"):
            error = _error(getattr(caches, name)(q), wanted)
            context.guard(
                f"{name}_{part}",
                error,
                limit,
                f"Root mean square error in {kind} against undivided attention in fp64.",
            )
            context.guard(
                f"{name}_{part}_no_worse",
                error,
                NO_WORSE * plain,
                f"The same, against {NO_WORSE} times that of undivided attention, {plain:.2g}.",
            )


def _error(found: torch.Tensor, exact: torch.Tensor) -> float:
    return (found.double() - exact).square().mean().sqrt().item()
