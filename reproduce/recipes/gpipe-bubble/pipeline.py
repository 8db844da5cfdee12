"""A pipeline of processes: all micro-batches forward, then all backward, each block recomputed there.

Source: arXiv:1811.06965, section 2.3. Activations and gradients are sent between neighbours.
"""

import time
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.utils.checkpoint import checkpoint

from reproduce.recipes.blocks.tinygpt import Attention, Block, FeedForward, Shape


@dataclass
class Clock:
    """When this process computed, on its device's own clock; in ms."""

    device: torch.device
    spans: list[tuple[Any, Any]] = field(default_factory=list)

    def now(self) -> Any:
        """A mark in time, after the work that was asked for so far."""
        if self.device.type == "cpu":
            return time.perf_counter() * 1e3
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def between(self, start: Any, end: Any) -> float:
        """Milliseconds between two marks."""
        return end - start if self.device.type == "cpu" else start.elapsed_time(end)

    def busy(self) -> float:
        """Milliseconds of all spans together."""
        return sum(self.between(*span) for span in self.spans)


class Stage:
    """This process's share of the blocks; the first stage gets the input, the last the arriving gradient."""

    def __init__(self, shape: Shape, device: torch.device, dtype: torch.dtype, seed: int = 0) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        count = shape.layers // self.size
        self.blocks = blocks(shape, device, dtype, seed, range(self.rank * count, (self.rank + 1) * count))
        self.first, self.last = self.rank == 0, self.rank == self.size - 1

    def step(
        self, whole: torch.Tensor, arriving: torch.Tensor, count: int, clock: Clock | None = None
    ) -> None:
        """Forward and backward of (batch, length, width) in `count` micro-batches; gradients add up.

        Every process is given the whole input and the whole arriving gradient; it uses what is its own.
        """
        clock = clock or Clock(whole.device)
        kept, sent = [], []
        for part in whole.chunk(count):
            x = part.detach() if self.first else self._receive(torch.empty_like(part), self.rank - 1)
            x.requires_grad_()
            out = self._timed(clock, lambda x=x: self.forward(x))
            kept.append((x, out))
            if not self.last:
                sent.append((dist.isend(out.detach(), self.rank + 1), out))
        gradients = arriving.chunk(count)
        for (x, out), last in zip(reversed(kept), reversed(gradients), strict=True):
            gradient = last if self.last else self._receive(torch.empty_like(out), self.rank + 1)
            self._timed(clock, lambda out=out, gradient=gradient: out.backward(gradient))
            if not self.first:
                sent.append((dist.isend(x.grad, self.rank - 1), x))
        for request, _ in sent:
            request.wait()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Through this stage's blocks, of which each keeps its input alone."""
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=False, preserve_rng_state=False)
        return x

    def parameters(self) -> list[nn.Parameter]:
        """Of this stage."""
        return [parameter for block in self.blocks for parameter in block.parameters()]

    def _receive(self, room: torch.Tensor, source: int) -> torch.Tensor:
        dist.irecv(room, source).wait()  # on a GPU the device waits, not this process
        return room

    def _timed(self, clock: Clock, work: Any) -> Any:
        start = clock.now()
        result = work()
        clock.spans.append((start, clock.now()))
        return result


def blocks(
    shape: Shape, device: torch.device, dtype: torch.dtype, seed: int, which: range | None = None
) -> list[nn.Module]:
    """The blocks of those numbers, all unless given; random weights, the same in every process."""
    found = []
    for number in which or range(shape.layers):
        with torch.device("meta"):
            block = Block(shape, Attention(shape, number), FeedForward(shape)).to(dtype)
        block = block.to_empty(device=device)
        generator = torch.Generator(device).manual_seed(1000 * seed + number)
        with torch.no_grad():
            for parameter in block.parameters():
                if parameter.dim() < 2:
                    parameter.fill_(1.0)
                else:
                    parameter.normal_(0.0, 0.02, generator=generator)
        found.append(block)
    return found


def data(
    shape: Shape, batch: int, device: torch.device, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """Random input and arriving gradient, (batch, length, width), the same in every process."""
    generator = torch.Generator(device).manual_seed(7)
    size = (batch, shape.length, shape.width)
    return tuple(torch.randn(size, device=device, generator=generator).to(dtype) for _ in range(2))
