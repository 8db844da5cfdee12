"""A decoder layer in the shape of Llama that decodes one token for each sequence.

Rotary positions are left out: they take the same little time whatever the attention.
"""

from collections.abc import Callable

import torch
from torch.nn import functional

from .attention import Caches, Replicated

Attend = Callable[[torch.Tensor], torch.Tensor]


class Layer:
    """Random weights; `width` = heads times head width, `hidden` that of the gated feed-forward."""

    def __init__(
        self, heads: int, head_dim: int, hidden: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.heads, width = heads, heads * head_dim
        shapes = ((3 * width, width), (width, width), (2 * hidden, width), (width, hidden))
        self.weights = [torch.randn(shape, dtype=dtype, device=device) * shape[1] ** -0.5 for shape in shapes]

    def step(self, x: torch.Tensor, caches: Caches | Replicated, attend: Attend) -> torch.Tensor:
        """(batch, width) to the same; `attend` takes (batch, heads, d) queries; the caches grow before."""
        qkv, out, up, down = self.weights
        q, key, value = functional.linear(_norm(x), qkv).unflatten(1, (3, self.heads, -1)).unbind(1)
        caches.store(key, value)
        x = x + functional.linear(attend(q).flatten(1), out)
        gate, inner = functional.linear(_norm(x), up).chunk(2, dim=1)
        return x + functional.linear(functional.silu(gate) * inner, down)

    def parameters(self) -> int:
        """Weights of the layer."""
        return sum(weight.numel() for weight in self.weights)


def _norm(x: torch.Tensor) -> torch.Tensor:
    return functional.rms_norm(x, x.shape[-1:])
