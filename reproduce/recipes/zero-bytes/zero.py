"""Data-parallel training in mixed precision, 16 bytes a parameter, of which stages 1 to 3 split ever more.

Stage 0 is plain data parallelism; 1 splits master weights and moments, 2 gradients too, 3 parameters too.
A model is a list of units that run one after another; backward runs each forward again first.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from .wire import Wire

RATE = 1e-3
HALF = torch.bfloat16


class Unit:
    """One module: its half-precision parameters and gradients in one flat tensor each, and Adam in fp32."""

    def __init__(self, module: nn.Module, wire: Wire, stage: int) -> None:
        self.module, self.wire, self.stage = module, wire, stage
        self.parameters = list(module.parameters())
        self.shapes = [parameter.shape for parameter in self.parameters]
        count = sum(shape.numel() for shape in self.shapes)
        padded = -(-count // wire.size) * wire.size
        whole = torch.zeros(padded, dtype=HALF, device=self.parameters[0].device)
        with torch.no_grad():
            whole[:count] = torch.cat([parameter.flatten() for parameter in self.parameters])
        part = wire.part_of(whole)
        self.master = (part if stage else whole).float()
        self.adam = torch.optim.AdamW([self.master], lr=RATE, fused=True)
        self.whole: torch.Tensor | None = None if stage == 3 else whole
        self.part: torch.Tensor | None = part.clone() if stage == 3 else None
        self.gradient: torch.Tensor | None = None
        self._view(self.whole)

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Inside, the module has all of its parameters."""
        if self.stage < 3:
            yield
            return
        whole = self.part.new_empty(self.part.numel() * self.wire.size)
        self.wire.all_gather(whole, self.part)
        self._view(whole)
        yield
        self._view(None)

    @contextmanager
    def gradients(self) -> Iterator[None]:
        """Inside, backward adds into one flat tensor; afterwards it is summed over the processes."""
        self.gradient = None
        count = self.wire.size * self.part.numel() if self.stage == 3 else self.whole.numel()
        flat = torch.zeros(count, dtype=HALF, device=self.master.device)
        for parameter, view in zip(self.parameters, self._views(flat), strict=True):
            parameter.grad = view
        yield
        if self.stage == 0:
            self.wire.all_reduce(flat)
        elif self.stage == 1:  # the sum stays at this part's place in the whole, which stays too
            self.wire.part_of(flat).copy_(self.wire.reduce_scatter(flat))
        else:
            flat = self.wire.reduce_scatter(flat)
            for parameter in self.parameters:
                parameter.grad = None
        self.gradient = flat

    def update(self) -> None:
        """One step of Adam on what this process has, and the new parameters to all who hold them."""
        summed = self.wire.part_of(self.gradient) if self.stage == 1 else self.gradient
        self.master.grad = summed.float() / self.wire.size
        self.adam.step()
        self.master.grad = None
        if self.stage == 0:
            self.whole.copy_(self.master)
        elif self.stage == 3:
            self.part.copy_(self.master)
        else:
            mine = self.wire.part_of(self.whole)
            mine.copy_(self.master)
            self.wire.all_gather(self.whole, mine)

    def held(self) -> list[torch.Tensor]:
        """Parameters, gradients, master weights and moments that this process keeps between steps."""
        states = [value for value in self.adam.state[self.master].values() if isinstance(value, torch.Tensor)]
        weights = self.part if self.stage == 3 else self.whole
        return [weights, self.gradient, self.master, *states]

    def _view(self, whole: torch.Tensor | None) -> None:
        """Makes the module's parameters views of `whole`, or empty."""
        views = [None] * len(self.parameters) if whole is None else self._views(whole)
        for parameter, view in zip(self.parameters, views, strict=True):
            parameter.data = self.master.new_empty(0, dtype=HALF) if view is None else view

    def _views(self, flat: torch.Tensor) -> list[torch.Tensor]:
        sizes = [shape.numel() for shape in self.shapes]
        pieces = flat[: sum(sizes)].split(sizes)
        return [piece.view(shape) for piece, shape in zip(pieces, self.shapes, strict=True)]


class Trainer:
    """Trains units in a group of processes, each on its own batch."""

    def __init__(self, modules: Iterator[nn.Module], wire: Wire, stage: int) -> None:
        """Takes the modules one at a time, so that not all of them need be whole at once."""
        self.wire, self.stage = wire, stage
        self.units = [Unit(module, wire, stage) for module in modules]

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        """Forward, backward and update on (batch, length + 1) ids; what the last unit returned."""
        self.units[-1].module.targets = tokens[:, 1:]
        inputs, x = [], tokens[:, :-1]
        for unit in self.units:
            inputs.append(x)
            with unit.gathered(), torch.no_grad():
                x = unit.module(x)
        loss, arriving = x, None
        for unit in reversed(self.units):
            x = inputs.pop()
            if x.is_floating_point():
                x = x.detach().requires_grad_()
            with unit.gathered(), unit.gradients():
                unit.module(x).backward(arriving)
            arriving = x.grad
        for unit in self.units:
            unit.update()
        return loss

    def held(self) -> list[torch.Tensor]:
        """All that the units keep between steps."""
        return [tensor for unit in self.units for tensor in unit.held()]
