"""RWKV-4 with random weights: a step for one token, and the same for many tokens at once.

Source: the paper, section 3; the token before is blended in, then time mixing, then channel mixing.
"""

from dataclasses import dataclass, field
from typing import Any

import torch

from reproduce.recipes.blocks.decodestack import normed

from . import operations
from .wkv import State, empty, scan


@dataclass
class Layer:
    """Matrices (in, out); `shares` blend with the token before, `decay` and `bonus` are w and u."""

    rkv: torch.Tensor  # (3, width, width)
    out: torch.Tensor
    gate: torch.Tensor
    up: torch.Tensor
    down: torch.Tensor
    time_shares: torch.Tensor  # (3, width)
    channel_shares: torch.Tensor  # (2, width): gate, then the rest
    decay: torch.Tensor
    bonus: torch.Tensor

    @classmethod
    def random(cls, width: int, dtype: torch.dtype, device: torch.device) -> "Layer":
        """13 width^2 weights."""

        def matrix(*size: int) -> torch.Tensor:
            return torch.randn(size, dtype=dtype, device=device).mul_(size[-2] ** -0.5)

        shares = [torch.rand(rows, width, dtype=dtype, device=device) for rows in (3, 2)]
        decay = torch.exp(torch.linspace(-5, 1, width, device=device))
        bonus = torch.randn(width, device=device)
        square, wide, tall = (width, width), (width, 4 * width), (4 * width, width)
        matrices = (matrix(3, *square), matrix(*square), matrix(*square), matrix(*wide), matrix(*tall))
        return cls(*matrices, *shares, decay, bonus)

    def tensors(self) -> list[torch.Tensor]:
        """Every weight."""
        return list(vars(self).values())


@dataclass
class Rwkv:
    """Layers and, for each, what is kept of the context: a WKV state and the token before, twice."""

    layers: list[Layer]
    head: torch.Tensor
    states: list[State]
    before: list[torch.Tensor]  # (2, batch, width)
    small: Any = field(default=operations)  # the module of the small operations

    @classmethod
    def random(
        cls, layers: int, width: int, batch: int, vocabulary: int, dtype: torch.dtype, device: torch.device
    ) -> "Rwkv":
        """A model before its first token."""
        head = torch.randn(width, vocabulary, dtype=dtype, device=device).mul_(width**-0.5)
        states = [empty(batch, width, torch.float32, device) for _ in range(layers)]
        before = [torch.zeros(2, batch, width, dtype=dtype, device=device) for _ in range(layers)]
        return cls([Layer.random(width, dtype, device) for _ in range(layers)], head, states, before)

    def kept(self) -> list[torch.Tensor]:
        """All that is kept of the context."""
        return [*self.before, *(tensor for state in self.states for tensor in state)]

    def step(self, x: torch.Tensor) -> torch.Tensor:
        """One token of each sequence: (batch, width) to logits."""
        x, small = x.clone(), self.small
        for layer, state, before in zip(self.layers, self.states, self.before, strict=True):
            r, k, v = torch.bmm(small.mix(x, before[0], layer.time_shares), layer.rkv)
            x.addmm_(small.attend(state, r, k, v, layer.decay, layer.bonus), layer.out)
            gate, rest = small.mix(x, before[1], layer.channel_shares)
            small.add_gated(x, gate @ layer.gate, small.squared(rest @ layer.up) @ layer.down)
        return normed(x) @ self.head

    def prefill(self, x: torch.Tensor) -> torch.Tensor:
        """Many tokens, (batch, n, width), by the parallel form: logits of the last; the states move on."""
        x = x.clone()
        for number, layer in enumerate(self.layers):
            before = self.before[number]
            r, k, v = (
                mixed @ matrix
                for mixed, matrix in zip(_blended(x, before[0], layer.time_shares), layer.rkv, strict=True)
            )
            out, state = scan(k.float(), v.float(), layer.decay, layer.bonus, self.states[number])
            x += (torch.sigmoid(r.float()) * out).to(x.dtype) @ layer.out
            for kept, new in zip(self.states[number], state, strict=True):
                kept.copy_(new)
            gate, rest = _blended(x, before[1], layer.channel_shares)
            value = operations.squared(rest @ layer.up) @ layer.down
            operations.add_gated(x, gate @ layer.gate, value)
        return normed(x[:, -1]) @ self.head


def _blended(x: torch.Tensor, before: torch.Tensor, shares: torch.Tensor) -> list[torch.Tensor]:
    now = normed(x)
    shifted = torch.cat((before[:, None], now[:, :-1]), dim=1)
    before.copy_(now[:, -1])
    return [torch.lerp(shifted, now, share) for share in shares]
