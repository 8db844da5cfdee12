"""A stack of transformer layers whose matrices are split over the processes of a group.

Queries, keys, values and the upward projection are split by outputs, the other two by inputs, so that a layer
needs two all-reduces forward and two backward. Source: arXiv:1909.08053, section 3.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional


@dataclass(frozen=True)
class Shape:
    """Sizes of a stack."""

    layers: int
    width: int
    heads: int

    def flop(self, batch: int, length: int) -> int:
        """Of forward and backward, as the paper counts: attention without regard to its causal mask."""
        return 3 * self.layers * batch * length * (24 * self.width**2 + 4 * length * self.width)

    def least_flop(self, batch: int, length: int) -> int:
        """The same where attention computes no more than its causal half, as fused kernels do."""
        return 3 * self.layers * batch * length * (24 * self.width**2 + 2 * length * self.width)


@dataclass(frozen=True)
class Ways:
    """Over how many processes matrices are split, which part is this one's, and whether it talks."""

    size: int = 1
    rank: int = 0
    talks: bool = True

    def summed(self, x: torch.Tensor) -> torch.Tensor:
        """`x`, replaced by the sum over the processes."""
        if self.size > 1 and self.talks:
            dist.all_reduce(x)
        return x


class Spread(torch.autograd.Function):
    """Before a split matrix: the same in all processes; its gradient is their sum (the paper's f)."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, ways: Ways) -> torch.Tensor:
        ctx.ways = ways
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return ctx.ways.summed(gradient.contiguous()), None


class Gathered(torch.autograd.Function):
    """After a split matrix: the sum over the processes; its gradient is the same in all (the paper's g)."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, ways: Ways) -> torch.Tensor:
        ctx.mark_dirty(x)
        return ways.summed(x)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradient, None


class Layer(nn.Module):
    """Attention and feed-forward, each after a norm and around a residual; without biases."""

    def __init__(
        self, shape: Shape, ways: Ways, device: torch.device, dtype: torch.dtype, generator: torch.Generator
    ) -> None:
        """Draws whole matrices and keeps this process's parts, so that all ways have the same weights."""
        super().__init__()
        self.ways, self.heads = ways, shape.heads // ways.size

        def part(outputs: int, inputs: int, dimension: int) -> nn.Parameter:
            whole = torch.empty(outputs, inputs, device=device, dtype=dtype)
            whole.normal_(0.0, 0.02, generator=generator)
            return nn.Parameter(whole.chunk(ways.size, dimension)[ways.rank].clone())

        width = shape.width
        self.query, self.key, self.value = (part(width, width, 0) for _ in range(3))
        self.out, self.up, self.down = (
            part(width, width, 1),
            part(4 * width, width, 0),
            part(width, 4 * width, 1),
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width, device=device, dtype=dtype) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, length, width) to the same."""
        normed = Spread.apply(self.norms[0](x), self.ways)
        weights = (self.query, self.key, self.value)
        parts = [functional.linear(normed, weight).unflatten(-1, (self.heads, -1)) for weight in weights]
        mixed = functional.scaled_dot_product_attention(*(p.transpose(1, 2) for p in parts), is_causal=True)
        x = x + Gathered.apply(functional.linear(mixed.transpose(1, 2).flatten(2), self.out), self.ways)
        hidden = functional.linear(Spread.apply(self.norms[1](x), self.ways), self.up)
        return x + Gathered.apply(functional.linear(functional.gelu(hidden), self.down), self.ways)


def stack(shape: Shape, ways: Ways, device: torch.device, dtype: torch.dtype) -> nn.Sequential:
    """Random weights; the same whole matrices however they are split."""
    generator = torch.Generator(device).manual_seed(0)
    return nn.Sequential(*(Layer(shape, ways, device, dtype, generator) for _ in range(shape.layers)))


def data(
    shape: Shape, batch: int, length: int, device: torch.device, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """Random input and arriving gradient, the same in every process."""
    generator = torch.Generator(device).manual_seed(1)
    size = (batch, length, shape.width)
    return tuple(torch.randn(size, device=device, generator=generator).to(dtype) for _ in range(2))
