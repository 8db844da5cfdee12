"""Rounding to few bits: equal steps per tensor, row or group; 4-bit codebooks; codes packed into bytes.

Weights are (outputs, inputs); a group is `size` neighbours along the last dimension.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import torch

VERSION = 1
SMALLEST = 1e-12  # a scale that nothing divides to infinity by
NF4_TAIL = 0.9677083  # mean of 1 - 1/32 and 1 - 1/30: how far into the tails of N(0, 1) NF4 reaches


@dataclass(frozen=True)
class Grid:
    """Equal steps: value = code * scale + offset, codes from `bottom` to `top`; both tensors broadcast."""

    scale: torch.Tensor
    offset: torch.Tensor
    bottom: int
    top: int

    def codes(self, x: torch.Tensor) -> torch.Tensor:
        """The nearest code of each value, as floats."""
        return torch.clamp(torch.round((x - self.offset) / self.scale), self.bottom, self.top)

    def values(self, codes: torch.Tensor) -> torch.Tensor:
        """What the codes stand for."""
        return codes * self.scale + self.offset

    def nearest(self, x: torch.Tensor) -> torch.Tensor:
        """Round to nearest."""
        return self.values(self.codes(x))


Fit = Callable[[torch.Tensor, int, Sequence[int]], Grid]


def symmetric(x: torch.Tensor, bits: int, dims: Sequence[int]) -> Grid:
    """Zero in the middle, the largest magnitude over `dims` at the end ("absmax"): 2^bits - 1 codes."""
    top = 2 ** (bits - 1) - 1
    scale = (x.abs().amax(dims, keepdim=True) / top).clamp_min(SMALLEST)
    return Grid(scale, torch.zeros_like(scale), -top, top)


def asymmetric(x: torch.Tensor, bits: int, dims: Sequence[int]) -> Grid:
    """From the smallest value over `dims` to the largest ("min-max", "zero-point"): 2^bits codes."""
    low, high = x.amin(dims, keepdim=True), x.amax(dims, keepdim=True)
    return Grid(((high - low) / (2**bits - 1)).clamp_min(SMALLEST), low, 0, 2**bits - 1)


def rounded(x: torch.Tensor, bits: int, group: int | None = None, fit: Fit = asymmetric) -> torch.Tensor:
    """Round to nearest with a grid for each group of the last dimension, or for each row."""
    parts = x.unflatten(-1, (-1, group or x.shape[-1]))
    return fit(parts, bits, (-1,)).nearest(parts).flatten(-2)


@cache
def nf4() -> tuple[float, ...]:
    """The 16 values of 4-bit NormalFloat: quantiles of N(0, 1) with an exact zero, largest at one.

    Source: arXiv:2305.14314, section 3 and appendix E.
    """
    above = torch.special.ndtri(torch.linspace(NF4_TAIL, 0.5, 9, dtype=torch.float64)[:-1])
    below = -torch.special.ndtri(torch.linspace(NF4_TAIL, 0.5, 8, dtype=torch.float64)[:-1])
    values = torch.cat((below, torch.zeros(1, dtype=torch.float64), above)).sort().values
    return tuple((values / values.max()).tolist())


def codebook(name: str, device: torch.device) -> torch.Tensor:
    """The ascending values of "nf4", "fp4-e2m1", "fp4-e3m0" or "int4", of which the largest is one."""
    halves = {
        "fp4-e2m1": (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0),
        "fp4-e3m0": (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0),
        "int4": tuple(range(8)),
    }
    if name == "nf4":
        return torch.tensor(nf4(), device=device)
    half = torch.tensor(halves[name], device=device, dtype=torch.float32)
    return torch.cat((-half.flip(0)[:-1], half)) / half.max()


def nearest_code(x: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """The place (int32) in the ascending `values` of what is nearest to each element."""
    middles = (values[1:] + values[:-1]) / 2
    return torch.bucketize(x, middles.to(x.dtype), out_int32=True)


def block_scaled(x: torch.Tensor, values: torch.Tensor, block: int) -> torch.Tensor:
    """`x` as a 4-bit codebook holds it: each block of the last dimension divided by its largest magnitude."""
    parts = x.unflatten(-1, (-1, block))
    scale = parts.abs().amax(-1, keepdim=True).clamp_min(SMALLEST)
    return (values[nearest_code(parts / scale, values)] * scale).flatten(-2)


def pack(codes: torch.Tensor, bits: int) -> torch.Tensor:
    """Codes below 2^bits, as bytes of 8 // bits codes along the last dimension, the first in the lowest bits.

    Bits are 1, 2 or 4. Raises ValueError if the last dimension does not fill whole bytes.
    """
    each = 8 // bits
    if codes.shape[-1] % each:
        raise ValueError(f"{codes.shape[-1]} codes of {bits} bits do not fill whole bytes.")
    parts = codes.to(torch.uint8).unflatten(-1, (-1, each))
    packed = torch.zeros_like(parts[..., 0])
    for place in range(each):
        packed |= parts[..., place] << (bits * place)
    return packed


def unpack(packed: torch.Tensor, bits: int) -> torch.Tensor:
    """The codes (uint8) that `pack` packed."""
    mask = 2**bits - 1
    return torch.stack([(packed >> (bits * place)) & mask for place in range(8 // bits)], -1).flatten(-2)
