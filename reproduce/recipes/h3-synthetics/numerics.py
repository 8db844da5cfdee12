"""Both forms of an H3 layer against 64-bit sums: the convolution for training, the recurrence for tokens."""

import torch

from reproduce.recipes.blocks import statespace
from reproduce.recipes.context import Context

from . import recurrence

LIMIT = 1e-4  # RECIPES asks it of FFT convolutions
LENGTH, CHANNELS, BATCH = 100, 8, 2  # longer than the shift state


def check(context: Context) -> None:
    """Guards convolution_exact and recurrence_exact: largest error relative to the largest value."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        shift, diagonal = statespace.Shift(CHANNELS), statespace.Diagonal(CHANNELS)
        q, k, v = torch.randn(3, BATCH, LENGTH, CHANNELS)
    shift, diagonal = shift.to(context.device), diagonal.to(context.device)
    q, k, v = (signal.to(context.device) for signal in (q, k, v))
    with torch.no_grad():
        exact = _exact(shift, diagonal, q, k, v)
        convolved = q * diagonal(shift(k) * v)
        state = recurrence.State.of(shift, diagonal, BATCH, torch.float32)
        steps = [state.step(q[:, t], k[:, t], v[:, t], t) for t in range(LENGTH)]
    for name, found in (("convolution", convolved), ("recurrence", torch.stack(steps, dim=1))):
        error = ((found - exact).abs().max() / exact.abs().max()).item()
        context.guard(f"{name}_exact", error, LIMIT, "H3's mixing against sums in 64 bits, relative.")


def _exact(
    shift: statespace.Shift,
    diagonal: statespace.Diagonal,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
) -> torch.Tensor:
    """q * diagonal(shift(k) * v) with each convolution as a product with a triangular matrix."""
    q, k, v = q.double(), k.double(), v.double()
    inner = (_toeplitz(shift.kernel(LENGTH)) @ k.mT[..., None])[..., 0].mT + shift.skip.double() * k
    inner = inner * v
    outer = (_toeplitz(diagonal.kernel(LENGTH)) @ inner.mT[..., None])[..., 0].mT
    return q * (outer + diagonal.skip.double() * inner)


def _toeplitz(kernel: torch.Tensor) -> torch.Tensor:
    """(channels, length) to (channels, length, length): row t, column s holds kernel[t - s]."""
    place = torch.arange(kernel.shape[1], device=kernel.device)
    back = place[:, None] - place
    return torch.where(back >= 0, kernel.double()[:, back.clamp(min=0)], 0.0)
