"""A decoder layer of Llama-2-7B as it decodes a token of each of many sequences, over either cache."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional

from . import cache as two_bit
from .cache import Cache2

HALF = torch.float16
Attend = Callable[
    [torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor
]  # q, k, v (batch, heads, D) -> same


@dataclass(frozen=True)
class Sizes:
    """Of a whole model."""

    width: int
    hidden: int
    layers: int
    vocabulary: int
    head: int

    @property
    def heads(self) -> int:
        return self.width // self.head

    @property
    def matrices(self) -> dict[str, tuple[int, int]]:
        """(outputs, inputs) of a layer's."""
        width, hidden = self.width, self.hidden
        return {
            "qkv": (3 * width, width),
            "out": (width, width),
            "up": (2 * hidden, width),
            "down": (width, hidden),
        }

    @property
    def weight_bytes(self) -> int:
        """Of all layers, both embeddings and the norms, in 16 bits."""
        layer = sum(outputs * inputs for outputs, inputs in self.matrices.values()) + 2 * self.width
        return 2 * (self.layers * layer + 2 * self.vocabulary * self.width + self.width)


SIZES = {
    "smoke": Sizes(width=128, hidden=256, layers=2, vocabulary=256, head=64),
    "full": Sizes(width=4096, hidden=11008, layers=32, vocabulary=32_000, head=128),
}


class Layer:
    """Random weights in 16 bits; without rotary positions, which cost both caches the same."""

    def __init__(self, sizes: Sizes, device: torch.device) -> None:
        self.sizes = sizes
        self.weights = {
            name: torch.randn(shape, device=device).mul_(shape[1] ** -0.5).to(HALF)
            for name, shape in sizes.matrices.items()
        }

    def __call__(self, x: torch.Tensor, attend: Attend) -> torch.Tensor:
        normed = functional.rms_norm(x, x.shape[-1:])
        q, k, v = self._linear("qkv", normed).view(len(x), 3, self.sizes.heads, self.sizes.head).unbind(1)
        x = x + self._linear("out", attend(q, k, v).flatten(1))
        gate, up = self._linear("up", functional.rms_norm(x, x.shape[-1:])).chunk(2, -1)
        return x + self._linear("down", functional.silu(gate) * up)

    def _linear(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return functional.linear(x, self.weights[name])


def over_16_bits(keys: torch.Tensor, values: torch.Tensor) -> Attend:
    """Attention over a plain cache (batch, heads, tokens, D), whose last place is the new token's."""

    def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        keys[:, :, -1], values[:, :, -1] = k, v
        return functional.scaled_dot_product_attention(q[:, :, None], keys, values)[:, :, 0]

    return attend


def over_2_bits(kept: Cache2) -> Attend:
    """Attention over a rounded cache, whose last recent place is the new token's."""

    def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        kept.recent_keys[:, :, -1], kept.recent_values[:, :, -1] = k, v
        return two_bit.attention(q, kept)

    return attend
