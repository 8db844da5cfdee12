"""A small byte model learns code with RWKV's layers, and one as large with attention, over seeds."""

from functools import partial

import torch
from torch import nn

from reproduce.recipes.blocks.gap import measure_gap
from reproduce.recipes.blocks.tinygpt import Shape, TinyGPT
from reproduce.recipes.context import Context

from . import operations, wkv

ARMS = ("attention", "rwkv")


def _shifted(x: torch.Tensor) -> torch.Tensor:
    return torch.cat((torch.zeros_like(x[:, :1]), x[:, :-1]), dim=1)


class TimeMixing(nn.Module):
    """In place of attention: (batch, n, width)."""

    def __init__(self, shape: Shape, layer: int) -> None:
        super().__init__()
        width, depth = shape.width, layer / max(1, shape.layers - 1)
        at = torch.arange(width) / max(1, width - 1)
        self.shares = nn.Parameter((at ** (1 - depth)).repeat(3, 1))
        self.log_decay = nn.Parameter(-5 + 8 * at ** (0.7 + 1.3 * depth))
        self.bonus = nn.Parameter(0.5 * ((torch.arange(width) + 1) % 3 - 1) + torch.tensor(0.3).log())
        self.r, self.k, self.v, self.out = (nn.Linear(width, width, bias=False) for _ in range(4))

    def forward(self, x: torch.Tensor, cache: None = None) -> torch.Tensor:
        before = _shifted(x)
        mixed = [torch.lerp(before, x, share) for share in self.shares]
        r, k, v = (linear(part) for linear, part in zip((self.r, self.k, self.v), mixed, strict=True))
        state = wkv.empty(len(x), x.shape[2], torch.float32, x.device)
        out, _ = wkv.scan(k.float(), v.float(), self.log_decay.exp(), self.bonus, state)
        return self.out(torch.sigmoid(r) * out.to(r.dtype))


class ChannelMixing(nn.Module):
    """In place of the feed-forward: 8 width^2 weights as well."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width, hidden = shape.width, 7 * shape.width // 2
        self.shares = nn.Parameter((torch.arange(width) / max(1, width - 1)).repeat(2, 1))
        self.gate = nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, hidden, bias=False), nn.Linear(hidden, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        before = _shifted(x)
        gate, rest = (torch.lerp(before, x, share) for share in self.shares)
        return torch.sigmoid(self.gate(gate)) * self.down(operations.squared(self.up(rest)))


def build(arm: str, width: int, length: int, seed: int) -> TinyGPT:
    """A model of four layers, or of two if it is small."""
    heads = max(1, width // 64)
    positions = "none" if arm == "rwkv" else "rope"
    shape = Shape(4 if width >= 128 else 2, width, heads, length, positions=positions)
    return TinyGPT(shape, TimeMixing, ChannelMixing, seed) if arm == "rwkv" else TinyGPT(shape, seed=seed)


def measure(context: Context) -> None:
    """Measures quality_gap: RWKV's validation loss less attention's, in nats a byte."""
    width = context["learn_width"]
    makers = {arm: partial(build, arm, width, min(128, width)) for arm in ARMS}
    measure_gap(context, makers, context["learn_steps"], 32 if context.full else 8, 0.65)
