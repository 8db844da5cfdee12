"""Layers of OPT's shape that decode one token for each sequence, over a cache in either layout."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from . import attention


@dataclass(frozen=True)
class Shape:
    """Sizes of an OPT model. Source: arXiv:2205.01068, table 1."""

    layers: int
    width: int
    heads: int
    vocabulary: int = 50272

    @property
    def head_width(self) -> int:
        return self.width // self.heads

    @property
    def layer_parameters(self) -> int:
        """Weights of a layer's matrix products."""
        return 12 * self.width**2


SHAPES = {"tiny": Shape(2, 128, 4, 512), "opt-13b": Shape(40, 5120, 40)}
PAGE = 16  # vLLM's default


@dataclass
class Cache:
    """Slots for `batch` sequences of `capacity` tokens in every timed layer, filled with random numbers.

    With a table the sequences lie in pages in random order, else one after the other.
    """

    pools: list[attention.Pool]
    lengths: torch.Tensor
    capacity: int
    table: torch.Tensor | None = None

    @classmethod
    def random(cls, shape: Shape, layers: int, batch: int, context: int, like: torch.Tensor) -> "Cache":
        """`context` tokens a sequence, the newest included; dtype and device are those of `like`."""
        size = (batch * context, shape.heads, shape.head_width)
        made = [
            tuple(torch.randn(size, dtype=like.dtype, device=like.device) for _ in range(2))
            for _ in range(layers)
        ]
        return cls(made, torch.full((batch,), context, dtype=torch.int32, device=like.device), context)

    def in_pages(self) -> "Cache":
        """The same slots, used as pages in random order."""
        table = attention.scattered(len(self.lengths), self.capacity // PAGE, self.lengths.device)
        return Cache(self.pools, self.lengths, self.capacity, table)

    def first(self, batch: int) -> "Cache":
        """The same for fewer sequences; in the same memory."""
        table = None if self.table is None else self.table[:batch]
        return Cache(self.pools, self.lengths[:batch], self.capacity, table)

    def newest(self) -> torch.Tensor:
        """(batch,) slots of the last token of each sequence."""
        place = self.lengths.long() - 1
        if self.table is None:
            return torch.arange(len(place), device=place.device) * self.capacity + place
        rows = torch.arange(len(place), device=place.device)
        return self.table[rows, place // PAGE].long() * PAGE + place % PAGE

    def attend(self, layer: int, q: torch.Tensor) -> torch.Tensor:
        """(batch, heads, width), through the kernel of this layout."""
        if self.table is None:
            return attention.contiguous(q, self.pools[layer], self.lengths, self.capacity)
        return attention.paged(q, self.pools[layer], self.lengths, self.table, PAGE)


class Layer(nn.Module):
    """OPT's layer: norms before attention and feed-forward, biases everywhere, ReLU."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads, width = shape.heads, shape.width
        self.before_attention, self.before_forward = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor, cache: Cache, layer: int, slots: torch.Tensor) -> torch.Tensor:
        """(batch, width) to the same; stores the new token's keys and values at `slots`."""
        q, k, v = (
            part.unflatten(1, (self.heads, -1)) for part in self.qkv(self.before_attention(x)).chunk(3, 1)
        )
        for pool, new in zip(cache.pools[layer], (k, v), strict=True):
            pool.index_copy_(0, slots, new)
        x = x + self.out(cache.attend(layer, q.contiguous()).flatten(1))
        return x + self.down(functional.relu(self.up(self.before_forward(x))))

    def prefill(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, n, width) to the same: a prompt, whose keys and values would be stored."""
        parts = (
            self.qkv(self.before_attention(x)).unflatten(2, (3 * self.heads, -1)).transpose(1, 2).chunk(3, 1)
        )
        mixed = functional.scaled_dot_product_attention(*parts, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        return x + self.down(functional.relu(self.up(self.before_forward(x))))


class Stack(nn.Module):
    """Some of a model's layers, and its output weights: what a decode step reads."""

    def __init__(self, shape: Shape, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(shape) for _ in range(layers))
        self.head = nn.Linear(shape.width, shape.vocabulary, bias=False)

    def decode(self, x: torch.Tensor, cache: Cache) -> torch.Tensor:
        """(batch, width) embeddings to the same after the layers."""
        slots = cache.newest()
        for index, layer in enumerate(self.layers):
            x = layer(x, cache, index, slots)
        return x


def build(shape: Shape, layers: int, dtype: torch.dtype, device: torch.device) -> Stack:
    """Random weights, small enough for half precision."""
    with torch.device(device):
        return Stack(shape, layers).to(dtype).requires_grad_(False)


def token_bytes(shape: Shape) -> int:
    """Bytes of keys and values of one token in fp16, counted from the tensors of a one-token cache."""
    meta = torch.empty(0, dtype=torch.float16, device="meta")
    cache = Cache.random(shape, shape.layers, 1, 1, meta)
    return sum(part.numel() * part.element_size() for pool in cache.pools for part in pool)
