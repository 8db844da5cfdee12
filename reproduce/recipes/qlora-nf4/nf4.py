"""Weights in NF4: 4 bits each, a scale for 64, and those scales in 8 bits with a scale for 256 of them.

A block's byte c holds weight c in its low half and weight 32 + c in its high half.
"""

import importlib
from dataclasses import dataclass
from functools import cache

import torch

from reproduce.recipes.blocks.quantizing import SMALLEST, nearest_code, nf4
from reproduce.recipes.memory import tensor_bytes

BLOCK, SECOND = 64, 256
HALF = BLOCK // 2
LARGEST8 = 448.0  # of fp8 e4m3


@dataclass(frozen=True)
class Nf4Weight:
    """Packed (blocks, 32); scales (blocks,) in fp8, in units of `second` (blocks / 256,) around `mean`."""

    shape: tuple[int, int]
    packed: torch.Tensor
    scales: torch.Tensor
    second: torch.Tensor
    mean: torch.Tensor

    @classmethod
    def of(cls, weight: torch.Tensor) -> "Nf4Weight":
        """Rounds to the nearest values; the weights fill whole blocks of blocks."""
        parts = weight.float().view(-1, BLOCK)
        largest = parts.abs().amax(1)
        codes = nearest_code(parts / largest.clamp_min(SMALLEST)[:, None], values(weight.device)).to(
            torch.uint8
        )
        mean = largest.mean()
        centred = (largest - mean).view(-1, SECOND)
        second = (centred.abs().amax(1) / LARGEST8).clamp_min(SMALLEST)
        scales = (centred / second[:, None]).flatten().to(torch.float8_e4m3fn)
        return cls(tuple(weight.shape), codes[:, :HALF] | codes[:, HALF:] << 4, scales, second, mean)

    def block_scales(self) -> torch.Tensor:
        """(blocks,) in fp32."""
        return (self.scales.float().view(-1, SECOND) * self.second[:, None]).flatten() + self.mean

    def restored(self, kind: torch.dtype) -> torch.Tensor:
        """(outputs, inputs) as the codes stand for them."""
        if self.packed.is_cuda:
            kernel = importlib.import_module(f"{__package__}.kernel")
            return kernel.restore(self.packed, self.block_scales(), values(self.packed.device), kind).view(
                self.shape
            )
        codes = torch.cat((self.packed & 15, self.packed >> 4), 1)
        return (values(codes.device)[codes.int()] * self.block_scales()[:, None]).to(kind).view(self.shape)

    @property
    def buffers(self) -> list[torch.Tensor]:
        """Everything kept."""
        return [self.packed, self.scales, self.second, self.mean]

    @property
    def scale_bytes(self) -> int:
        """Of all scales and the mean."""
        return tensor_bytes([self.scales, self.second, self.mean])


@cache
def values(device: torch.device) -> torch.Tensor:
    """(16,) the data type's values; made once, since a copy from the host would stall every product."""
    return torch.tensor(nf4(), device=device)
