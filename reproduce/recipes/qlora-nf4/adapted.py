"""A frozen linear layer, in NF4 or in 16 bits, with a trained low-rank update, and LLaMA layers made of them.

Adapters and activations are in `kind`: bf16, or fp32 for checks.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from . import nf4
from .nf4 import Nf4Weight

ALPHA = 16  # the update's factor is ALPHA / rank: the paper's appendix B


@dataclass(frozen=True)
class Sizes:
    """Of a LLaMA."""

    width: int
    hidden: int
    layers: int
    vocabulary: int
    head: int

    @property
    def matrices(self) -> dict[str, tuple[int, int]]:
        """(outputs, inputs) of a layer's."""
        attention = dict.fromkeys(("query", "key", "value", "out"), (self.width, self.width))
        wide = dict.fromkeys(("gate", "up"), (self.hidden, self.width))
        return attention | wide | {"down": (self.width, self.hidden)}


SIZES = {
    "tiny": Sizes(width=128, hidden=256, layers=2, vocabulary=256, head=64),
    "7b": Sizes(width=4096, hidden=11008, layers=32, vocabulary=32_000, head=128),
    "65b": Sizes(width=8192, hidden=22016, layers=80, vocabulary=32_000, head=128),
}


class Frozen(torch.autograd.Function):
    """x W' with a weight that is restored for each use and never kept; its own gradient is not wanted."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: Nf4Weight) -> torch.Tensor:
        ctx.weight = weight
        return x @ weight.restored(x.dtype).T

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradient @ ctx.weight.restored(gradient.dtype), None


class Adapted(nn.Module):
    """The frozen weight, random, and its update."""

    def __init__(
        self, shape: tuple[int, int], rank: int, kind: torch.dtype, device: torch.device, four_bit: bool
    ) -> None:
        super().__init__()
        outputs, inputs = shape
        weight = torch.randn(shape, device=device).mul_(inputs**-0.5)
        self.base: Any = nf4.Nf4Weight.of(weight) if four_bit else weight.to(kind)
        self.factor = ALPHA / rank
        self.down = nn.Parameter(torch.randn(rank, inputs, device=device).mul_(inputs**-0.5).to(kind))
        self.up = nn.Parameter(torch.zeros(outputs, rank, device=device, dtype=kind))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        four_bit = isinstance(self.base, Nf4Weight)
        frozen = Frozen.apply(x, self.base) if four_bit else functional.linear(x, self.base)
        return frozen + functional.linear(functional.linear(x, self.down), self.up) * self.factor

    @property
    def buffers_kept(self) -> list[torch.Tensor]:
        return self.base.buffers if isinstance(self.base, Nf4Weight) else [self.base]


class Layer(nn.Module):
    """Attention and a gated feed-forward, each with its norm and residual; without rotary positions."""

    def __init__(
        self, sizes: Sizes, rank: int, kind: torch.dtype, device: torch.device, four_bit: bool
    ) -> None:
        super().__init__()
        self.head = sizes.head
        self.parts = nn.ModuleDict(
            {name: Adapted(shape, rank, kind, device, four_bit) for name, shape in sizes.matrices.items()}
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        normed = functional.rms_norm(x, x.shape[-1:])
        q, k, v = (
            self.parts[name](normed).unflatten(-1, (-1, self.head)).transpose(1, 2)
            for name in ("query", "key", "value")
        )
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.parts["out"](mixed.transpose(1, 2).flatten(2))
        normed = functional.rms_norm(x, x.shape[-1:])
        return x + self.parts["down"](functional.silu(self.parts["gate"](normed)) * self.parts["up"](normed))


class Llama(nn.Module):
    """Layers one after the other, each recomputed in backward; embedding and output are frozen."""

    def __init__(
        self, sizes: Sizes, layers: int, rank: int, kind: torch.dtype, device: torch.device, four_bit: bool
    ) -> None:
        super().__init__()
        self.ends = [
            torch.randn(sizes.vocabulary, sizes.width, device=device).mul_(sizes.width**-0.5).to(kind)
            for _ in range(2)
        ]
        self.layers = nn.ModuleList(Layer(sizes, rank, kind, device, four_bit) for _ in range(layers))

    def loss(self, tokens: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of (batch, length + 1) ids."""
        x = functional.embedding(tokens[:, :-1], self.ends[0])
        for layer in self.layers:
            x = checkpoint(layer, x, use_reentrant=False, preserve_rng_state=False)
        logits = functional.linear(functional.rms_norm(x, x.shape[-1:]), self.ends[1])
        return functional.cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten())

    def kept(self) -> list[torch.Tensor]:
        """All frozen tensors and all adapters."""
        frozen = [
            tensor for layer in self.layers for part in layer.parts.values() for tensor in part.buffers_kept
        ]
        return [*self.ends, *frozen, *self.parameters()]


class Adam:
    """Moments in fp32 for adapters in `kind`; one parameter after the other, so that little is alive."""

    def __init__(self, parameters: list[nn.Parameter], rate: float = 1e-4) -> None:
        self.parameters, self.rate, self.steps = parameters, rate, 0
        self.moments = [[torch.zeros_like(p, dtype=torch.float32) for _ in range(2)] for p in parameters]

    @torch.no_grad()
    def step(self) -> None:
        """Updates in place and frees the gradients."""
        self.steps += 1
        first, second = 1 - 0.9**self.steps, 1 - 0.999**self.steps
        for parameter, (mean, square) in zip(self.parameters, self.moments, strict=True):
            gradient = parameter.grad.float()
            mean.lerp_(gradient, 0.1)
            square.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
            parameter.sub_((mean / first / ((square / second).sqrt() + 1e-8) * self.rate).to(parameter.dtype))
            parameter.grad = None

    def kept(self) -> list[torch.Tensor]:
        """All moments."""
        return [tensor for pair in self.moments for tensor in pair]
