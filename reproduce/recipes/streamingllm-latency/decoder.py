"""A Llama-shaped decoder with random weights: a token through the rolling cache, or a window recomputed."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional

from reproduce.recipes.blocks.decodestack import Shape, normed, random_weights
from reproduce.recipes.blocks.decoding import Attend, Log, fastest

from .streaming import Cache, rotate, turns

SETS = 4  # layers that the choice of a kernel rotates over


def enter(
    qkv: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(3, heads, n, head width) to queries and keys, rotated, and values."""
    q, k, v = qkv.unbind(0)
    return rotate(q, (cosine, sine)), rotate(k, (cosine, sine)), v.contiguous()


def gate(up: torch.Tensor) -> torch.Tensor:
    """(n, 2 hidden) to (n, hidden)."""
    first, second = up.chunk(2, dim=1)
    return functional.silu(first) * second


@dataclass
class Decoder:
    """Weights of all layers, and of the output; what lies between products is compiled, for both arms."""

    shape: Shape
    layers: list[dict[str, torch.Tensor]]
    head: torch.Tensor
    enter: Callable[..., tuple[torch.Tensor, torch.Tensor, torch.Tensor]]
    gate: Callable[..., torch.Tensor]

    @classmethod
    def random(cls, shape: Shape, dtype: torch.dtype, device: torch.device) -> "Decoder":
        """Random weights."""
        layers, head = random_weights(shape, dtype, device)
        backend = "inductor" if device.type == "cuda" else "eager"
        parts = (torch.compile(part, backend=backend, dynamic=True) for part in (enter, gate))
        return cls(shape, layers, head, *parts)

    def cache(self, slots: int, sinks: int) -> Cache:
        """A full cache of random tokens."""
        like = {"dtype": self.head.dtype, "device": self.head.device}
        size = (self.shape.layers, self.shape.heads, slots, self.shape.head_width)
        return Cache.filled(torch.randn(size, **like), torch.randn(size, **like), sinks)

    def kernel(self, cache: Cache, log: Log) -> Attend:
        """The fastest attention of one query over the cache."""
        q = torch.randn_like(cache.keys[0, :, :1])[None]
        return fastest(
            [
                (q, cache.keys[layer, None], cache.values[layer, None])
                for layer in range(SETS)[: len(self.layers)]
            ],
            q.device,
            log,
        ).attend

    def step(self, x: torch.Tensor, cache: Cache, attend: Attend) -> torch.Tensor:
        """The next token, (1, width) to logits."""
        x, turn = x.clone(), [part.to(x.dtype) for part in cache.begin()]
        for layer, weights in enumerate(self.layers):
            q, k, v = self.enter(self._heads(normed(x) @ weights["qkv"]), *turn)
            cache.put(layer, k, v)
            mixed = attend(q[None], cache.keys[layer, None], cache.values[layer, None])
            self._finish(x, mixed[0], weights)
        cache.end()
        return normed(x) @ self.head

    def window(self, x: torch.Tensor) -> torch.Tensor:
        """All of a window, (n, width), to the logits of its last token; nothing is kept."""
        places = torch.arange(len(x), device=x.device)
        x, turn = x.clone(), [part.to(x.dtype) for part in turns(places, self.shape.head_width)]
        for weights in self.layers:
            q, k, v = (part[None] for part in self.enter(self._heads(normed(x) @ weights["qkv"]), *turn))
            mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            self._finish(x, mixed[0], weights)
        return normed(x[-1:]) @ self.head

    def _heads(self, qkv: torch.Tensor) -> torch.Tensor:
        """(n, 3 width) to (3, heads, n, head width)."""
        return qkv.unflatten(1, (3, self.shape.heads, -1)).permute(1, 2, 0, 3)

    def _finish(self, x: torch.Tensor, mixed: torch.Tensor, weights: dict[str, torch.Tensor]) -> None:
        """Adds attention's output and the feed-forward net's to x."""
        x.addmm_(mixed.transpose(0, 1).flatten(1), weights["out"])
        x.addmm_(self.gate(normed(x) @ weights["up"]), weights["down"])
