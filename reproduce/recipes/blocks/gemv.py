"""Products of a quantised matrix with one vector, as decoding does them: limited by the bytes of the weights.

Weights are (outputs, inputs). On a GPU each is one Triton kernel; elsewhere plain PyTorch says the same.
"""

import importlib
from dataclasses import dataclass
from typing import Any

import torch

from reproduce.recipes.blocks import quantizing

VERSION = 1
GROUP = 128  # weights with a scale and an offset of their own
WORDS = GROUP // 8  # 32-bit words of a group; nibble j of word c is column 16 j + c of the group


@dataclass(frozen=True)
class Packed4:
    """4-bit weights: words int32 (outputs, groups, WORDS); scale and offset fp16 (outputs, groups)."""

    words: torch.Tensor
    scale: torch.Tensor
    offset: torch.Tensor

    @classmethod
    def of(cls, weight: torch.Tensor) -> "Packed4":
        """Round to nearest between smallest and largest weight of each group; inputs must fill groups."""
        parts = weight.float().unflatten(-1, (-1, GROUP))
        fitted = quantizing.asymmetric(parts, 4, (-1,))
        scale, offset = fitted.scale.half().clamp_min(2.0**-24), fitted.offset.half()
        grid = quantizing.Grid(scale.float(), offset.float(), 0, 15)
        codes = grid.codes(parts).int().unflatten(-1, (8, WORDS))
        words = torch.zeros_like(codes[..., 0, :])
        for nibble in range(8):
            words |= codes[..., nibble, :] << (4 * nibble)
        return cls(words, scale[..., 0].contiguous(), offset[..., 0].contiguous())

    def codes(self) -> torch.Tensor:
        """(outputs, inputs) the 4-bit codes, int32."""
        nibbles = [(self.words >> (4 * nibble)) & 15 for nibble in range(8)]
        return torch.stack(nibbles, -2).flatten(1)

    def restored(self) -> torch.Tensor:
        """(outputs, inputs) in fp32: what the codes stand for."""
        parts = self.codes().float().unflatten(-1, (-1, GROUP))
        return (parts * self.scale.float()[..., None] + self.offset.float()[..., None]).flatten(1)

    @property
    def bytes(self) -> int:
        """Stored bytes, scales and offsets included."""
        return sum(part.numel() * part.element_size() for part in (self.words, self.scale, self.offset))


def matvec4(weight: Packed4, x: torch.Tensor) -> torch.Tensor:
    """(outputs,) in the type of `x` (inputs,), accumulated in fp32."""
    if not x.is_cuda:
        return (weight.restored() @ x.float()).to(x.dtype)
    return _kernels().launch4(weight.words, weight.scale, weight.offset, x)


def matvec8(weight: torch.Tensor, x: torch.Tensor, scale: torch.Tensor, out: torch.dtype) -> torch.Tensor:
    """(outputs,) from int8 weights and int8 `x` (inputs,), summed in int32, times `scale` (one element)."""
    if not x.is_cuda:
        return ((weight.int() * x.int()).sum(1).float() * scale).to(out)
    return _kernels().launch8(weight, x, scale, out)


def _kernels() -> Any:
    """Imported when first used: a machine without a GPU has no Triton."""
    return importlib.import_module("reproduce.recipes.blocks.gemv_kernels")
