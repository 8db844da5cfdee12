"""Causal attention as an operator with its projections: fused, and with the n x n matrices in memory.

Signals are (batch, n, width), heads (batch, heads, n, head width).
"""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

MATRICES_BYTES = 9e9  # of the n x n matrices that standard attention handles at once; five such are alive
Heads = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


class Attention(nn.Module):
    """Projections around PyTorch's fused kernel `backend`; RuntimeError where that kernel cannot be had."""

    def __init__(self, width: int, heads: int, dtype: torch.dtype, backend: SDPBackend) -> None:
        super().__init__()
        self.heads, self.backend = heads, backend
        self.project = nn.Linear(width, 3 * width, bias=False, dtype=dtype)
        self.out = nn.Linear(width, width, bias=False, dtype=dtype)

    def split(self, x: torch.Tensor) -> Heads:
        """Queries, keys and values."""
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.project(x).chunk(3, -1)
        )
        return q, k, v

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with sdpa_kernel(self.backend):
            mixed = functional.scaled_dot_product_attention(*self.split(x), is_causal=True)
        return self.out(mixed.transpose(1, 2).flatten(2))


def backends(device: torch.device) -> dict[str, SDPBackend]:
    """The fused kernels of this device by the names used in results."""
    found = {"flash": SDPBackend.FLASH_ATTENTION}
    return found | ({"cudnn": SDPBackend.CUDNN_ATTENTION} if device.type == "cuda" else {})


def standard(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, later: torch.Tensor) -> torch.Tensor:
    """softmax(q k' / sqrt d) v operation by operation; `later` (n, n) marks what a token must not see."""
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    return torch.softmax(scores.masked_fill_(later, -torch.inf), dim=-1) @ v


def standard_step(operator: Attention, x: torch.Tensor, gradient: torch.Tensor) -> Callable[[int], object]:
    """Work: forward and backward of the operator with standard attention, a few heads at a time.

    A head's gradient is taken right after its forward pass, so that its matrices need not wait in memory for
    the others': what arrives at the mixed heads depends on the output weights alone. Nothing is done twice.
    """
    length = x.shape[1]
    later = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
    group = max(1, int(MATRICES_BYTES // (length**2 * x.element_size())))

    def work(call: int) -> tuple[torch.Tensor, ...]:
        q, k, v = (part.flatten(0, 1) for part in operator.split(x))
        arriving = (gradient @ operator.out.weight).unflatten(-1, (operator.heads, -1)).transpose(1, 2)
        arriving = arriving.flatten(0, 1)
        leaves = [part.detach().requires_grad_() for part in (q, k, v)]
        mixed, of_heads = torch.empty_like(arriving), [torch.empty_like(part) for part in leaves]
        for start in range(0, len(arriving), group):
            some = slice(start, start + group)
            parts = [part[some] for part in leaves]
            out = standard(*parts, later)
            mixed[some] = out.detach()
            for whole, part in zip(of_heads, torch.autograd.grad(out, parts, arriving[some]), strict=True):
                whole[some] = part
        rows = mixed.unflatten(0, (x.shape[0], -1)).transpose(1, 2).flatten(2)
        output = rows @ operator.out.weight.T
        of_out = gradient.flatten(0, 1).T @ rows.flatten(0, 1)
        of_inputs = torch.autograd.grad((q, k, v), (x, operator.project.weight), tuple(of_heads))
        return (output, *of_inputs, of_out)

    return work
