"""Parts of the zoo's models: attention with any heads, feed-forward nets, experts, rotary positions.

Tensors are (batch, length, width) between layers and (batch, heads, length, head width) inside attention.
"""

import math
from collections.abc import Callable, Iterable
from functools import partial

import torch
from torch import nn
from torch.nn import functional

VERSION = 1
ACTIVATIONS = {"gelu": functional.gelu, "silu": functional.silu, "relu": functional.relu}
ROPE_BASE = 10_000.0
Attend = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]  # q, k, v -> mixed values


class Attention(nn.Module):
    """Query, key and value in one product; `attend` mixes them, whatever its kernel and mask."""

    def __init__(self, width: int, heads: int, kv_heads: int, head_width: int, bias: bool) -> None:
        super().__init__()
        self.split, self.head_width = [heads, kv_heads, kv_heads], head_width
        self.qkv = nn.Linear(width, sum(self.split) * head_width, bias=bias)
        self.out = nn.Linear(heads * head_width, width, bias=bias)

    def forward(self, x: torch.Tensor, attend: Attend, turn: torch.Tensor | None = None) -> torch.Tensor:
        q, k, v = self._heads(self.qkv(x)).split(self.split, dim=1)
        if turn is not None:
            q, k = rotate(q, turn), rotate(k, turn)
        return self.out(attend(q, k, v).transpose(1, 2).flatten(2))

    def over(self, x: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
        """Attends from x to all of an encoder's output, (batch, any length, width)."""
        rows = self.split[0] * self.head_width
        weights = self.qkv.weight.split([rows, self.qkv.out_features - rows])
        q = self._heads(functional.linear(x, weights[0]))
        k, v = self._heads(functional.linear(memory, weights[1])).split(self.split[1:], dim=1)
        return self.out(scaled_dot(q, k, v).transpose(1, 2).flatten(2))

    def _heads(self, x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(-1, (-1, self.head_width)).transpose(1, 2)


class FeedForward(nn.Module):
    """down(activation(up x)), or down(activation(gate x) * up x) if gated."""

    def __init__(self, width: int, hidden: int, activation: str, gated: bool, bias: bool) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]
        self.gate = nn.Linear(width, hidden, bias=bias) if gated else None
        self.up = nn.Linear(width, hidden, bias=bias)
        self.down = nn.Linear(hidden, width, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.gate is None:
            return self.down(self.activation(self.up(x)))
        return self.down(self.activation(self.gate(x)) * self.up(x))


class Experts(nn.Module):
    """Several feed-forward nets; each token goes through the `chosen` that its router likes best."""

    def __init__(self, width: int, experts: Iterable[nn.Module], chosen: int) -> None:
        super().__init__()
        self.experts, self.chosen = nn.ModuleList(experts), chosen
        self.router = nn.Linear(width, len(self.experts), bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = x.flatten(0, -2)
        scores, picks = self.router(tokens).float().topk(self.chosen, dim=-1)
        shares, mixed = scores.softmax(-1).to(x.dtype), torch.zeros_like(tokens)
        for number, expert in enumerate(self.experts):
            rows, ranks = (picks == number).nonzero(as_tuple=True)
            mixed.index_add_(0, rows, shares[rows, ranks, None] * expert(tokens[rows]))
        return mixed.view_as(x)


def scaled_dot(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None = None, ahead: bool = True
) -> torch.Tensor:
    """Attention by PyTorch's fused kernels; `mask` as PyTorch takes it, `ahead` to see later tokens too."""
    grouped = q.shape[1] != k.shape[1]
    return functional.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=not ahead, enable_gqa=grouped
    )


causal = partial(scaled_dot, ahead=False)


def turns(length: int, head_width: int, device: torch.device) -> torch.Tensor:
    """(2, n, head_width / 2): cosines and sines of rotary positions. Source: arXiv:2104.09864."""
    rates = torch.exp(torch.arange(0, head_width, 2, device=device) * (-math.log(ROPE_BASE) / head_width))
    angles = torch.outer(torch.arange(length, device=device, dtype=torch.float32), rates)
    return torch.stack((angles.cos(), angles.sin()))


def rotate(x: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
    """Rotates the two halves of (batch, heads, n, head width) against each other."""
    (first, second), (cosine, sine) = x.chunk(2, dim=-1), turn
    return torch.cat((first * cosine - second * sine, first * sine + second * cosine), dim=-1)
