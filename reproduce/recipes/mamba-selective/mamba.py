"""The Mamba block as a mixer of a TinyGPT: projections, short convolution, selective scan, gate."""

import math

import torch
from torch import nn
from torch.nn import functional

from reproduce.recipes.blocks.tinygpt import Cache, Shape

from . import scan

STATES = 16
EXPAND = 2
TAPS = 4
STEPS = (1e-3, 1e-1)  # range of the step sizes at the start


class Mamba(nn.Module):
    """(batch, n, width) to the same. Source: arXiv:2312.00752, section 3.4."""

    def __init__(self, shape: Shape, layer: int) -> None:
        super().__init__()
        inner, self.rank = EXPAND * shape.width, math.ceil(shape.width / 16)
        self.project = nn.Linear(shape.width, 2 * inner, bias=False)
        self.taps = nn.Parameter((torch.rand(inner, TAPS) * 2 - 1) * TAPS**-0.5)
        self.tap_bias = nn.Parameter(torch.zeros(inner))
        self.select = nn.Linear(inner, self.rank + 2 * STATES, bias=False)
        self.widen = nn.Parameter((torch.rand(inner, self.rank) * 2 - 1) * self.rank**-0.5)
        low, high = (math.log(step) for step in STEPS)
        step = torch.exp(low + (high - low) * torch.rand(inner))
        self.step_bias = nn.Parameter(step + torch.log(-torch.expm1(-step)))  # softplus of it is the step
        self.log_rate = nn.Parameter(torch.arange(1, STATES + 1).float().log().repeat(inner, 1))
        self.skip = nn.Parameter(torch.ones(inner))
        self.out = nn.Linear(inner, shape.width, bias=False)

    def forward(self, x: torch.Tensor, cache: Cache | None = None) -> torch.Tensor:
        value, gate = self.project(x).transpose(-2, -1).chunk(2, dim=-2)
        value = functional.silu(self.short(value))
        step, enter, read = self.select(value.mT).split([self.rank, STATES, STATES], dim=-1)
        dt = functional.softplus(self.widen @ step.mT + self.step_bias[:, None])
        rate = -torch.exp(self.log_rate.float())[None]
        mixed = scan.selective_scan(value, dt, rate, enter, read) + self.skip[:, None] * value
        return self.out((mixed * functional.silu(gate)).mT)

    def short(self, value: torch.Tensor) -> torch.Tensor:
        """Causal convolution of (batch, inner, n), four taps a channel."""
        inner, taps = value.shape[-2], self.taps[:, None]
        padded = functional.conv1d(value, taps, self.tap_bias, padding=TAPS - 1, groups=inner)
        return padded[..., : value.shape[-1]]


class Absent(nn.Module):
    """In place of a feed-forward net: a Mamba block has none."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.new_zeros(())
