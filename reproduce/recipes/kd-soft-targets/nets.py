"""Many small nets for digits trained at once, each with its own rows, targets, temperature and decay."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch.nn import functional

from . import distilling

RATE = 2e-3
BATCH = 64


@dataclass(frozen=True)
class Job:
    """What one net learns: `rows` of all digits, towards `targets` (digits, classes) at a temperature."""

    seed: int
    rows: torch.Tensor
    targets: torch.Tensor
    temperature: float = 1.0
    decay: float = 0.0


def train(pixels: torch.Tensor, jobs: Sequence[Job], width: int, steps: int) -> torch.Tensor:
    """Trains a net of two hidden layers for each job; its logits for all digits, (jobs, digits, classes)."""
    device, seeds = pixels.device, [job.seed for job in jobs]
    sizes = [pixels.shape[1], width, width, jobs[0].targets.shape[1]]
    weights = [w.requires_grad_() for w in _weights(seeds, sizes, device)]
    optimizer = torch.optim.Adam(weights, lr=RATE)
    pools = torch.nn.utils.rnn.pad_sequence([job.rows for job in jobs], batch_first=True).to(device)
    counts, temperatures, decays = (
        torch.tensor(values, device=device, dtype=torch.float32)[:, None]
        for values in zip(*((len(job.rows), job.temperature, job.decay) for job in jobs), strict=True)
    )
    targets, each = torch.stack([job.targets for job in jobs]), torch.arange(len(jobs), device=device)
    draws = _draws(seeds, steps).to(device)
    for step in range(steps):
        scale = (1 + math.cos(math.pi * step / steps)) / 2
        rows = pools.gather(1, (draws[:, step] * counts).long())
        losses = distilling.soft_loss(
            forward(weights, pixels[rows]), targets[each[:, None], rows], temperatures[..., None]
        )
        for group in optimizer.param_groups:
            group["lr"] = RATE * scale
        optimizer.zero_grad()
        losses.mean(1).sum().backward()
        optimizer.step()
        with torch.no_grad():
            for weight in weights[::2]:
                weight.mul_(1 - RATE * scale * decays[..., None])
    with torch.no_grad():
        return forward(weights, pixels.expand(len(jobs), *pixels.shape))


def forward(weights: Sequence[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """(nets, batch, pixels) to (nets, batch, classes); weights and biases alternate."""
    for layer in range(0, len(weights), 2):
        x = torch.baddbmm(weights[layer + 1], x, weights[layer])
        x = functional.relu(x) if layer + 2 < len(weights) else x
    return x


def _weights(seeds: Sequence[int], sizes: Sequence[int], device: torch.device) -> list[torch.Tensor]:
    """He's initialisation, the same for the same seed whatever the arm."""
    found: list[torch.Tensor] = []
    for inputs, outputs in pairwise(sizes):
        drawn = [
            torch.randn(inputs, outputs, generator=torch.Generator().manual_seed(seed * 1000 + inputs))
            for seed in seeds
        ]
        found.append((torch.stack(drawn) * math.sqrt(2 / inputs)).to(device))
        found.append(torch.zeros(len(seeds), 1, outputs, device=device))
    return found


def _draws(seeds: Sequence[int], steps: int) -> torch.Tensor:
    """(nets, steps, batch) places in the pool, from 0 to 1; the same for the same seed."""
    known = {s: torch.rand(steps, BATCH, generator=torch.Generator().manual_seed(s)) for s in set(seeds)}
    return torch.stack([known[seed] for seed in seeds])
