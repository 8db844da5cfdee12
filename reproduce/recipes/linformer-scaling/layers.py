"""A transformer layer for inference, with attention to all tokens or to `rank` projected ones.

Tensors are (batch, n, width) between parts and (batch, heads, n, d) inside. Source: arXiv:2006.04768.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

CHUNK = 8e9  # bytes of scores above which the unfused attention goes over queries in pieces
Attend = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def eager(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """softmax(q k' / sqrt d) v operation by operation, with the scores in memory."""
    scores = (q * (1 / math.sqrt(q.shape[-1]))) @ k.transpose(-2, -1)
    return torch.softmax(scores, dim=-1) @ v


def eager_in_pieces(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """The same over as few pieces of the queries as keep the scores in bounds."""
    pieces = math.ceil(q[..., 0].numel() * k.shape[-2] * q.element_size() / CHUNK)
    return (
        torch.cat([eager(part, k, v) for part in q.chunk(pieces, dim=-2)], dim=-2)
        if pieces > 1
        else eager(q, k, v)
    )


def fused(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """The same by PyTorch's fused kernel: flash attention in half precision."""
    return functional.scaled_dot_product_attention(q, k, v)


@dataclass(frozen=True)
class Sizes:
    """Width and heads of a layer; the feed-forward net is four widths."""

    width: int
    heads: int


class SelfAttention(nn.Module):
    """Attention to all n tokens, or with projections E and F of n tokens to `rank`, shared by the heads.

    E (X W) is computed as (E X) W, which projects `rank` instead of n tokens to keys and values.
    """

    def __init__(self, sizes: Sizes, attend: Attend, length: int = 0, rank: int = 0) -> None:
        super().__init__()
        self.heads, self.attend = sizes.heads, attend
        self.query, self.key, self.value, self.out = (
            nn.Linear(sizes.width, sizes.width, bias=False) for _ in range(4)
        )
        self.shorten = nn.Parameter(torch.randn(2, rank, length) * rank**-0.5) if rank else None

    def forward(self, x: torch.Tensor, cache: object = None) -> torch.Tensor:
        of_keys, of_values = (x, x) if self.shorten is None else projected(self.shorten, x)
        q, k, v = self.query(x), self.key(of_keys), self.value(of_values)
        heads = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (q, k, v))
        return self.out(self.attend(*heads).transpose(1, 2).flatten(2))


def projected(shorten: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """E x and F x, (batch, rank, width) each, for (2, rank, n) and (batch, n, width)."""
    return shorten[0] @ x, shorten[1] @ x


class Layer(nn.Module):
    """Attention and a feed-forward net, each with its residual and then a norm."""

    def __init__(self, sizes: Sizes, attention: SelfAttention) -> None:
        super().__init__()
        self.attention = attention
        self.up, self.down = nn.Linear(sizes.width, 4 * sizes.width), nn.Linear(4 * sizes.width, sizes.width)
        self.norm_attention, self.norm_forward = nn.LayerNorm(sizes.width), nn.LayerNorm(sizes.width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm_attention(x + self.attention(x))
        return self.norm_forward(x + self.down(functional.gelu(self.up(x))))


def layer_flop(sizes: Sizes, length: int, rank: int = 0) -> float:
    """FLOP of the products for one sequence; `rank` 0 is attention to all tokens."""
    width, keys = sizes.width, rank or length
    shorten = 4 * rank * length * width
    projections = 2 * width**2 * (2 * length + 2 * keys)
    return 16 * length * width**2 + projections + 4 * length * keys * width + shorten


def score_bytes(sizes: Sizes, length: int, rank: int, size: int) -> float:
    """Bytes of scores that unfused attention moves for one sequence: written and read twice each."""
    return 4 * sizes.heads * length * (rank or length) * size
