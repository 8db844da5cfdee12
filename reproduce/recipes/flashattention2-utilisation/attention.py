"""Exact attention by three kernels; all tensors are (batch, heads, n, d).

FLOP by the formula of arXiv:2307.08691, section 4.1: 4 n^2 d a head, half if causal, backward 2.5 times.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

Attend = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, bool], torch.Tensor]
BACKWARD = 2.5


@dataclass(frozen=True)
class Cell:
    """One place of the sweep: `tokens` tokens in sequences of `length`, heads side by side in `hidden`."""

    head_dim: int
    causal: bool
    length: int
    tokens: int
    hidden: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(batch, heads, n, d)."""
        return max(1, self.tokens // self.length), self.hidden // self.head_dim, self.length, self.head_dim

    @property
    def name(self) -> str:
        return f"d = {self.head_dim}, {'causal' if self.causal else 'full'}, {self.length} tokens"

    def flop(self, phase: str = "both") -> float:
        """Model FLOP of "forward", "backward" or "both"."""
        batch, heads, length, head_dim = self.shape
        forward = 4 * batch * heads * length**2 * head_dim / (2 if self.causal else 1)
        return forward * {"forward": 1, "backward": BACKWARD, "both": 1 + BACKWARD}[phase]


def standard(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, causal: bool) -> torch.Tensor:
    """Operation by operation, with the n x n matrix in memory."""
    weights = (q * (1 / math.sqrt(q.shape[-1]))) @ k.transpose(-2, -1)
    if causal:
        weights += causal_mask(q.shape[2], q.dtype, q.device)
    return torch.softmax(weights, dim=-1) @ v


@lru_cache(maxsize=1)  # made once for a cell, as a model would
def causal_mask(length: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """(n, n): zero where a token may look, minus infinity after it."""
    return torch.full((length, length), -math.inf, dtype=dtype, device=device).triu_(1)


def flash(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, causal: bool) -> torch.Tensor:
    """FlashAttention-2, as PyTorch ships it."""
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        return functional.scaled_dot_product_attention(q, k, v, is_causal=causal)


def efficient(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, causal: bool) -> torch.Tensor:
    """The memory-efficient kernel of xFormers, as PyTorch ships it for GPUs."""
    with sdpa_kernel(SDPBackend.EFFICIENT_ATTENTION):
        return functional.scaled_dot_product_attention(q, k, v, is_causal=causal)


@dataclass(frozen=True)
class Batch:
    """Random queries, keys, values and the gradient that arrives at the output."""

    qkv: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
    gradient: torch.Tensor

    @classmethod
    def random(cls, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> "Batch":
        """Standard normal; never zeros, on which hardware runs faster."""
        q, k, v = (torch.randn(shape, device=device, dtype=dtype, requires_grad=True) for _ in range(3))
        return cls((q, k, v), torch.randn(shape, device=device, dtype=dtype))


def both(attend: Attend, batch: Batch, causal: bool) -> Callable[[int], tuple[torch.Tensor, ...]]:
    """Work that runs forward and backward, and returns the three gradients."""
    return lambda call: torch.autograd.grad(attend(*batch.qkv, causal), batch.qkv, batch.gradient)


def forward(attend: Attend, batch: Batch, causal: bool) -> Callable[[int], torch.Tensor]:
    """Work that runs forward, keeping what backward would need until it returns."""
    return lambda call: attend(*batch.qkv, causal)


def backward(attend: Attend, batch: Batch, causal: bool) -> Callable[[int], tuple[torch.Tensor, ...]]:
    """Work that runs the backward pass alone, of one forward pass done now."""
    out = attend(*batch.qkv, causal)
    return lambda call: torch.autograd.grad(out, batch.qkv, batch.gradient, retain_graph=True)
