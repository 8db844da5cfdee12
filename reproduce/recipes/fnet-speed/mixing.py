"""Fourier mixing of tokens, Re(DFT over tokens of DFT over features); (batch, n, width) to the same, fp32.

Source: arXiv:2105.03824, section 3. The map is linear and symmetric, so its backward pass is itself.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch


def by_fft(x: torch.Tensor) -> torch.Tensor:
    """By real FFT: half of the spectrum, the rest by symmetry, F[i, j] = conj F[-i, -j]."""
    half = torch.fft.rfft2(x.float()).real
    rest = half[..., 1 : (x.shape[-1] + 1) // 2].flip((-2, -1)).roll(1, dims=-2)
    return torch.cat((half, rest), dim=-1)


def by_products(x: torch.Tensor) -> torch.Tensor:
    """By matrix products in fp32, C X C - S X S with the cosines and sines of both sides."""
    return _products(x.float())


def by_half_products(x: torch.Tensor) -> torch.Tensor:
    """The same in bf16, and bf16 is returned."""
    return _products(x.bfloat16())


def _products(x: torch.Tensor) -> torch.Tensor:
    with torch.autocast(x.device.type, enabled=False):
        features = x @ waves(x.shape[-1], x.dtype, x.device)
        stacked = torch.cat(features.chunk(2, dim=-1), dim=-2)  # cosine part above sine part
        return waves(x.shape[-2], x.dtype, x.device, sign=-1) @ stacked


@lru_cache(maxsize=8)
def waves(size: int, dtype: torch.dtype, device: torch.device, sign: int = 1) -> torch.Tensor:
    """(size, 2 size): cosines of the DFT, and beside them its sines times `sign`."""
    at = torch.arange(size, device=device)
    angles = torch.outer(at, at).remainder(size).double() * (2 * math.pi / size)
    return torch.cat((angles.cos(), sign * angles.sin()), dim=1).to(dtype)


class Mix(torch.autograd.Function):
    """One of the functions above, forward and backward; nothing is kept between."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, mix: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        ctx.mix, ctx.dtype = mix, x.dtype
        return mix(x)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return ctx.mix(gradient).to(ctx.dtype), None
