"""Exact attention, with the n x n matrix in memory and fused. All tensors are (batch, heads, n, d)."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

Attend = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Batch:
    """Random queries, keys, values and the gradient that arrives at the output."""

    qkv: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
    gradient: torch.Tensor

    @classmethod
    def random(cls, shape: tuple[int, int, int, int], dtype: torch.dtype, device: torch.device) -> "Batch":
        """Standard normal tensors; never zeros, on which hardware runs faster."""
        q, k, v = (torch.randn(shape, device=device, dtype=dtype, requires_grad=True) for _ in range(3))
        return cls((q, k, v), torch.randn(shape, device=device, dtype=dtype))


def standard(dropout: float = 0.0, mask: torch.Tensor | None = None) -> Attend:
    """softmax(q k' / sqrt d + mask) v, operation by operation; `mask` is added and broadcasts."""

    def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        weights = (q * (1 / math.sqrt(q.shape[-1]))) @ k.transpose(-2, -1)
        if mask is not None:
            weights = weights + mask
        weights = torch.softmax(weights, dim=-1)
        weights = functional.dropout(weights, dropout, training=dropout > 0)
        return weights @ v

    return attend


def fused(backend: SDPBackend, dropout: float = 0.0, causal: bool = False) -> Attend:
    """One of PyTorch's fused kernels; RuntimeError if it does not take these tensors."""

    def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        with sdpa_kernel(backend):
            return functional.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=causal)

    return attend


def kernels(device: torch.device) -> dict[str, SDPBackend]:
    """The fused kernels of this device by the names used in results."""
    found = {"flash": SDPBackend.FLASH_ATTENTION}
    return found | ({"efficient": SDPBackend.EFFICIENT_ATTENTION} if device.type == "cuda" else {})


def padding_mask(batch: int, length: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """(batch, 1, 1, n) of zeros: every token is real, and the baseline adds it all the same."""
    return torch.zeros(batch, 1, 1, length, dtype=dtype, device=device)


def causal_mask(length: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """(n, n): zero where a token may look, minus infinity after it."""
    return torch.full((length, length), -math.inf, dtype=dtype, device=device).triu(1)


def forward(attend: Attend, batches: list[Batch]) -> Callable[[int], object]:
    """Work that runs the forward pass, keeping what backward would need until it returns."""
    return lambda call: attend(*batches[call % len(batches)].qkv)


def backward(attend: Attend, batches: list[Batch]) -> Callable[[int], object]:
    """Work that runs the backward pass alone, of one forward pass done now."""
    batch = batches[0]
    out = attend(*batch.qkv)
    return lambda call: torch.autograd.grad(out, batch.qkv, batch.gradient, retain_graph=True)


def both(attend: Attend, batches: list[Batch]) -> Callable[[int], tuple[torch.Tensor, ...]]:
    """Work that runs forward and backward, and returns the three gradients."""

    def work(call: int) -> tuple[torch.Tensor, ...]:
        batch = batches[call % len(batches)]
        return torch.autograd.grad(attend(*batch.qkv), batch.qkv, batch.gradient)

    return work


def flop(batch: int, heads: int, length: int, head_dim: int) -> float:
    """Model FLOP of forward and backward: 4 n^2 d a head forward, 2.5 times that backward."""
    return 3.5 * 4 * batch * heads * length**2 * head_dim
