"""The loss on soft targets, what it becomes at high temperature, and the share of a gap that is closed."""

from collections.abc import Sequence

import torch
from torch.nn import functional

from reproduce.recipes.context import Context

HOT = 1e3
LIMIT = 1e-2
SIGMAS = 3.0


def soft_loss(logits: torch.Tensor, targets: torch.Tensor, temperature: float | torch.Tensor) -> torch.Tensor:
    """T^2 times the cross-entropy at temperature T, (..., classes) to (...); `targets` are probabilities.

    Source: arXiv:1503.02531, section 2, equation 1, and its remark that T^2 keeps gradients comparable.
    """
    return -(targets * functional.log_softmax(logits / temperature, dim=-1)).sum(-1) * temperature**2


def check(context: Context) -> None:
    """Guards that the gradient at high temperature is that of matching logits: (z - v) / N, equation 4."""
    z, v = (torch.randn(64, 10, dtype=torch.float64, device=context.device) for _ in range(2))
    z, v = (x - x.mean(-1, keepdim=True) for x in (z, v))
    z.requires_grad_()
    (found,) = torch.autograd.grad(soft_loss(z, (v / HOT).softmax(-1), HOT).sum(), z)
    expected = (z.detach() - v) / z.shape[-1]
    context.guard(
        "high_temperature_limit",
        ((found - expected).norm() / expected.norm()).item(),
        LIMIT,
        f"Relative distance of the gradient at T = {HOT:g} from that of matching logits, in 64 bits.",
    )


def closed(hard: Sequence[float], soft: Sequence[float], full: Sequence[float]) -> list[float]:
    """(soft - hard) / mean gap, for each seed; accuracies or losses, the order of subtraction cancels.

    Divided by the mean gap over the seeds, since a single seed's gap may be near zero.
    """
    gap = sum(f - h for f, h in zip(full, hard, strict=True)) / len(full)
    return [(s - h) / gap for s, h in zip(soft, hard, strict=True)]


def guard_gap(context: Context, name: str, low: Sequence[float], high: Sequence[float]) -> None:
    """Guards that there is a gap to close: its mean is three standard deviations of a seed's gap or more."""
    gaps = torch.tensor([b - a for a, b in zip(low, high, strict=True)], dtype=torch.float64)
    sigmas = (gaps.mean() / gaps.std().clamp_min(1e-9)).item()
    context.guard(
        f"gap_{name}",
        sigmas,
        SIGMAS,
        f"Mean gap between all data and little data, {gaps.mean():.4g}, in standard deviations over seeds.",
        passed=sigmas >= SIGMAS,
    )
