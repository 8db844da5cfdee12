"""Latent vectors in six bits: codes of 0 to 63 around a scale for each token, four codes in three bytes."""

import torch

from reproduce.recipes.context import Context

HALF = 31  # codes run from -31 to 31, and are stored with 32 added
ERROR_LIMIT = 0.05  # relative; 26 dB of signal to noise


def quantised(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(..., n) to packed bytes (..., 3 n / 4) and fp16 scales (..., 1); n is a multiple of four."""
    scale = (x.abs().amax(-1, keepdim=True).float() / HALF).clamp(min=1e-7).half()
    codes = (x.float() / scale.float()).round().clamp(-HALF, HALF) + HALF + 1
    return pack(codes.to(torch.uint8)), scale


def restored(packed: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """The numbers again, in fp32."""
    return (unpack(packed).float() - HALF - 1) * scale.float()


def pack(codes: torch.Tensor) -> torch.Tensor:
    """uint8 codes below 64, (..., n), to bytes (..., 3 n / 4)."""
    a, b, c, d = codes.unflatten(-1, (-1, 4)).unbind(-1)
    return torch.stack((a | (b << 6), (b >> 2) | (c << 4), (c >> 4) | (d << 2)), dim=-1).flatten(-2)


def unpack(packed: torch.Tensor) -> torch.Tensor:
    """The inverse of pack."""
    x, y, z = packed.unflatten(-1, (-1, 3)).unbind(-1)
    codes = (x & 63, (x >> 6) | ((y & 15) << 2), (y >> 4) | ((z & 3) << 4), z >> 2)
    return torch.stack(codes, dim=-1).flatten(-2)


def check(context: Context, x: torch.Tensor) -> float:
    """Guards that packing loses nothing and six bits little; the signal-to-noise ratio of `x` in dB."""
    codes = torch.randint(64, x.shape, dtype=torch.uint8, device=x.device)
    lost = (unpack(pack(codes)) != codes).float().mean().item()
    context.guard("packing_is_lossless", lost, 0.0, "Share of six-bit codes that packing changes.")
    error = ((restored(*quantised(x)) - x.float()).norm() / x.float().norm()).item()
    detail = "Relative error of normal latent vectors after six bits."
    context.guard("six_bits_keep_the_signal", error, ERROR_LIMIT, detail)
    return float(-20 * torch.tensor(error).log10())
