"""A stack of Mamba blocks with random weights that generates token by token, its state in static buffers."""

import importlib
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from reproduce.recipes.blocks.decodestack import normed

from . import scan
from .mamba import EXPAND, STATES, TAPS

try:
    kernels: Any = importlib.import_module(f"{__package__}.step_kernels")
except ImportError:  # no Triton: operations of PyTorch
    kernels = None


@dataclass(frozen=True)
class Sizes:
    """Layers, width and vocabulary; the rest follows as in the paper."""

    layers: int
    width: int
    vocabulary: int

    @property
    def inner(self) -> int:
        return EXPAND * self.width

    @property
    def rank(self) -> int:
        return math.ceil(self.width / 16)

    @property
    def weights(self) -> int:
        """Weights of the products, which a step reads."""
        each = 3 * self.width * self.inner + self.inner * (2 * self.rank + 2 * STATES)
        return self.layers * each + self.width * self.vocabulary

    @property
    def state_bytes(self) -> int:
        """Of one sequence: states in fp32, and the last inputs of the short convolution in 2 bytes."""
        return self.layers * self.inner * (STATES * 4 + (TAPS - 1) * 2)


def convolve(past: torch.Tensor, value: torch.Tensor, taps: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """(taps - 1, batch, inner) past values, oldest first, and the new one; moves the past on."""
    if _fused(value):
        return kernels.convolve(past, value, taps, bias)
    window = torch.cat((past, value[None]))
    past.copy_(window[1:])
    return functional.silu((window * taps[:, None]).sum(0) + bias)


def advance(
    state: torch.Tensor,
    value: torch.Tensor,
    step: torch.Tensor,
    bias: torch.Tensor,
    rate: torch.Tensor,
    enter: torch.Tensor,
    read: torch.Tensor,
    skip: torch.Tensor,
    gate: torch.Tensor,
) -> torch.Tensor:
    """One token: the (batch, inner, states) state moves on; what is read from it, gated, (batch, inner)."""
    if _fused(value):
        return kernels.advance(state, value, step, bias, rate, enter, read, skip, gate)
    dt, wide = functional.softplus((step + bias).float())[..., None], value.float()
    state.copy_(torch.exp(dt * rate) * state + dt * wide[..., None] * enter.float()[:, None])
    left = (state * read.float()[:, None]).sum(-1) + skip * wide
    return (left * functional.silu(gate.float())).to(value.dtype)


def short(value: torch.Tensor, taps: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """The short convolution of a prompt, (batch, n, inner)."""
    if _fused(value):
        return kernels.short(value, taps, bias)
    length = value.shape[1]
    past = functional.pad(value, (0, 0, TAPS - 1, 0))
    sums = sum(past[:, tap : tap + length] * taps[tap] for tap in range(TAPS))
    return functional.silu(sums + bias)


def read_through(
    value: torch.Tensor,
    step: torch.Tensor,
    bias: torch.Tensor,
    rate: torch.Tensor,
    enter: torch.Tensor,
    read: torch.Tensor,
    skip: torch.Tensor,
    gate: torch.Tensor,
) -> torch.Tensor:
    """The scan of a prompt, (batch, n, inner), with skip and gate, as `advance` does a token."""
    enter, read = enter.contiguous(), read.contiguous()
    if _fused(value):
        return scan.kernels.gated(value, step, bias, rate[None], enter, read, skip, gate)
    mixed = scan.selective_scan(value.mT, functional.softplus(step + bias).mT, rate[None], enter, read)
    left = mixed.mT.float() + value.float() * skip
    return (left * functional.silu(gate.float())).to(value.dtype)


def _fused(value: torch.Tensor) -> bool:
    return kernels is not None and value.is_cuda


@dataclass
class Generator:
    """Weights and state."""

    sizes: Sizes
    layers: list[dict[str, torch.Tensor]]
    head: torch.Tensor
    states: torch.Tensor  # (layers, batch, inner, states)
    past: torch.Tensor  # (layers, taps - 1, batch, inner)

    @classmethod
    def random(cls, sizes: Sizes, batch: int, dtype: torch.dtype, device: torch.device) -> "Generator":
        """As if tokens had gone before; states are random, never zeros."""

        def normal(*size: int, scale: float = 1.0) -> torch.Tensor:
            return torch.randn(size, dtype=dtype, device=device).mul_(scale)

        width, inner, rank = sizes.width, sizes.inner, sizes.rank
        layers = [
            {
                "project": normal(width, 2 * inner, scale=width**-0.5),
                "taps": normal(TAPS, inner, scale=TAPS**-0.5),
                "tap_bias": normal(inner, scale=0.1),
                "select": normal(inner, rank + 2 * STATES, scale=inner**-0.5),
                "widen": normal(rank, inner, scale=rank**-0.5),
                "step_bias": normal(inner) - 4,
                "rate": -torch.arange(1, STATES + 1, device=device).float().repeat(inner, 1),
                "skip": torch.ones(inner, device=device),
                "out": normal(inner, width, scale=inner**-0.5),
            }
            for _ in range(sizes.layers)
        ]
        return cls(
            sizes,
            layers,
            normal(width, sizes.vocabulary, scale=width**-0.5),
            torch.randn(sizes.layers, batch, inner, STATES, device=device),
            normal(sizes.layers, TAPS - 1, batch, inner),
        )

    def step(self, x: torch.Tensor, position: int = 0) -> torch.Tensor:
        """The next token of each sequence, (batch, width) to logits; the position does not matter."""
        x = x.clone()
        for layer, weights in enumerate(self.layers):
            value, gate = (normed(x) @ weights["project"]).chunk(2, dim=1)
            value = convolve(self.past[layer], value, weights["taps"], weights["tap_bias"])
            step, enter, read = self._select(value, weights)
            given = (value, step, weights["step_bias"], weights["rate"], enter, read, weights["skip"], gate)
            x.addmm_(advance(self.states[layer], *given), weights["out"])
        return normed(x) @ self.head

    def prompt(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, n, width) through all layers by the fused scan; the last states are not stored."""
        x = x.clone()
        for weights in self.layers:
            value, gate = (normed(x) @ weights["project"]).chunk(2, dim=2)
            value = short(value, weights["taps"], weights["tap_bias"])
            step, enter, read = self._select(value, weights)
            given = (value, step, weights["step_bias"], weights["rate"], enter, read, weights["skip"], gate)
            x += read_through(*given) @ weights["out"]
        return x

    def _select(self, value: torch.Tensor, weights: dict[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """What each token chooses: its step before the bias, what enters the state and what reads it."""
        chosen = value @ weights["select"]
        step, enter, read = chosen.split([self.sizes.rank, STATES, STATES], dim=-1)
        return step @ weights["widen"], enter, read
