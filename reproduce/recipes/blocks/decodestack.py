"""A stack of transformer layers with random weights that decodes one token: time and bytes, no quality.

One token of each sequence is (batch, width). No rotary or relative positions: they cost little, and the same
for every number of key heads.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
from torch.nn import functional

from reproduce.recipes.blocks.decoding import Attend, KeyValues, Log, fastest, grouped

VERSION = 1
SETS = 4  # layers that a choice of kernel rotates over


@dataclass(frozen=True)
class Shape:
    """Sizes of a decoder. `memory`: tokens of an encoder's output that each layer attends to (0: none)."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    head_width: int
    hidden: int
    gated: bool = False
    memory: int = 0
    vocabulary: int = 0  # 0: no output product

    @property
    def sizes(self) -> dict[str, tuple[int, int]]:
        """A layer's matrices, (in, out) each; keys and values of the encoder's output are there already."""
        inner = self.heads * self.head_width
        own = {
            "qkv": (self.width, inner + 2 * self.kv_heads * self.head_width),
            "out": (inner, self.width),
            "up": (self.width, self.hidden * (2 if self.gated else 1)),
            "down": (self.hidden, self.width),
        }
        return own | (
            {"cross_q": (self.width, inner), "cross_out": (inner, self.width)} if self.memory else {}
        )

    @property
    def weights(self) -> int:
        """Weights that a step reads."""
        return self.layers * sum(prod(size) for size in self.sizes.values()) + self.width * self.vocabulary

    def cached(self, tokens: float) -> float:
        """Numbers kept for one sequence after that many tokens, the encoder's keys and values included."""
        return self.layers * 2 * self.kv_heads * self.head_width * (tokens + self.memory)

    def step_bytes(self, batch: int, tokens: float, itemsize: int = 2) -> float:
        """Bytes that a step must read: the weights once, and every sequence's keys and values."""
        return itemsize * (self.weights + batch * self.cached(tokens))

    def step_flop(self, batch: int, tokens: float) -> float:
        """FLOP of a step: two for each weight, four for each number of a query and key that meet."""
        meet = self.layers * self.heads * self.head_width * (tokens + self.memory)
        return batch * (2 * self.weights + 4 * meet)


def plain(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Attention operation by operation with a softmax in 32 bits, as model libraries write it."""
    scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
    return torch.softmax(scores, dim=-1, dtype=torch.float32).to(v.dtype) @ v


def random_weights(
    shape: Shape, dtype: torch.dtype, device: torch.device
) -> tuple[list[dict[str, torch.Tensor]], torch.Tensor | None]:
    """Each layer's matrices by name, and the output matrix if there is a vocabulary."""
    layers = [
        {name: _matrix(size, dtype, device) for name, size in shape.sizes.items()}
        for _ in range(shape.layers)
    ]
    return layers, _matrix((shape.width, shape.vocabulary), dtype, device) if shape.vocabulary else None


@dataclass
class Stack:
    """Weights and caches, and a step; caches may grow, and weights those of another stack."""

    shape: Shape
    layers: Sequence[dict[str, torch.Tensor]]
    head: torch.Tensor | None
    caches: Sequence[KeyValues]
    memories: Sequence[KeyValues] = ()
    attend: Attend = grouped
    attend_memory: Attend = grouped
    chosen: dict[str, Any] = field(default_factory=dict)  # kernels, and the time of each that was tried

    @classmethod
    def random(
        cls, shape: Shape, batch: int, capacity: int, dtype: torch.dtype, device: torch.device
    ) -> "Stack":
        """A stack with room for `capacity` tokens of each sequence, all of them there already."""
        caches = random_caches(shape, batch, capacity, dtype, device)
        memories = random_caches(shape, batch, shape.memory, dtype, device) if shape.memory else []
        return cls(shape, *random_weights(shape, dtype, device), caches, memories)

    def choose(self, log: Log, tokens: int, fewer: int | None = None) -> None:
        """Takes the fastest kernels for a step after `tokens` tokens, of those that `fewer` suit as well."""
        own = [cache.upto(tokens) for cache in self.caches[:SETS]]
        also = [] if fewer is None else [self.caches[0].upto(fewer)]
        self.attend = self._fastest("own", own, log, also)
        if self.memories:
            read = [memory.upto(self.shape.memory) for memory in self.memories[:SETS]]
            self.attend_memory = self._fastest("encoder", read, log)

    def _fastest(
        self,
        name: str,
        pairs: list[tuple[torch.Tensor, torch.Tensor]],
        log: Log,
        also: Sequence[tuple[torch.Tensor, torch.Tensor]] = (),
    ) -> Attend:
        keys = pairs[0][0]
        size = (keys.shape[0], self.shape.heads, 1, self.shape.head_width)
        query = torch.randn(size, dtype=keys.dtype, device=keys.device)
        sets, untimed = ([(query, k, v) for k, v in some] for some in (pairs, also))
        choice = fastest(sets, keys.device, log, also=untimed)
        self.chosen[name] = {"kernel": choice.name, "milliseconds": dict(choice.milliseconds)}
        return choice.attend

    def step(self, x: torch.Tensor, position: int) -> torch.Tensor:
        """The next token of each sequence, (batch, width), at `position`; logits if there is a vocabulary."""
        x = x.clone()
        for number, (weights, cache) in enumerate(zip(self.layers, self.caches, strict=True)):
            q, k, v = self._heads(normed(x) @ weights["qkv"])
            cache.put(position, k, v)
            x.addmm_(self.attend(q[:, :, None], *cache.upto(position + 1)).flatten(1), weights["out"])
            if self.memories:
                self._cross(x, weights, self.memories[number])
            x.addmm_(self._hidden(normed(x) @ weights["up"]), weights["down"])
        return x if self.head is None else normed(x) @ self.head

    def _cross(self, x: torch.Tensor, weights: dict[str, torch.Tensor], memory: KeyValues) -> None:
        q = (normed(x) @ weights["cross_q"]).unflatten(1, (self.shape.heads, 1, -1))
        x.addmm_(self.attend_memory(q, *memory.upto(self.shape.memory)).flatten(1), weights["cross_out"])

    def _heads(self, qkv: torch.Tensor) -> tuple[torch.Tensor, ...]:
        split = (self.shape.heads, self.shape.kv_heads, self.shape.kv_heads)
        return qkv.unflatten(1, (-1, self.shape.head_width)).split(split, dim=1)

    def _hidden(self, up: torch.Tensor) -> torch.Tensor:
        if not self.shape.gated:
            return functional.gelu(up)
        gate, value = up.chunk(2, dim=1)
        return functional.gelu(gate) * value


def random_caches(
    shape: Shape, batch: int, tokens: int, dtype: torch.dtype, device: torch.device
) -> list[KeyValues]:
    """Each layer's keys and values of `tokens` tokens."""
    size = (batch, shape.kv_heads, tokens, shape.head_width)
    return [KeyValues.random(size, dtype, device) for _ in range(shape.layers)]


def normed(x: torch.Tensor) -> torch.Tensor:
    """Layer norm without weights: one kernel."""
    return functional.layer_norm(x, x.shape[-1:])


def _matrix(size: tuple[int, int], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    return torch.randn(size, dtype=dtype, device=device).mul_(size[0] ** -0.5)
