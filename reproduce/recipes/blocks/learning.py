"""Training of small models (profile T3): one loop for all arms, losses over steps, steps to a target.

On a GPU a step is one CUDA graph: small models would wait for launches. Seconds are of training alone.
"""

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from reproduce.recipes.toolbox import synchronise

VERSION = 1
Draw = Callable[[int, torch.Generator], torch.Tensor]  # (step, generator) -> a batch on the device
Loss = Callable[[nn.Module, torch.Tensor], torch.Tensor]  # (model, batch) -> scalar
Make = Callable[[Sequence[nn.Parameter]], torch.optim.Optimizer]


@dataclass(frozen=True)
class Plan:
    """How to train: the rate rises over `warm_up` of the steps, then falls by a cosine to `floor` of it."""

    steps: int
    rate: float
    seed: int = 0
    warm_up: float = 0.05
    floor: float = 0.1
    clip: float = 1.0
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    evaluations: int = 8  # evenly spread, the last at the end
    half: bool = True  # bf16 autocast on a GPU

    def scale(self, step: int) -> float:
        """The rate's share of its peak at `step` (from 0)."""
        rising = max(1, round(self.warm_up * self.steps))
        if step < rising:
            return (step + 1) / rising
        through = (step - rising) / max(1, self.steps - rising)
        return self.floor + (1 - self.floor) * (1 + math.cos(math.pi * through)) / 2


@dataclass
class Curve:
    """A training run: the loss of every step; validation losses at `marks` (steps done), with seconds."""

    losses: list[float] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def final(self) -> float:
        """The last validation loss."""
        return self.validation[-1]

    def steps_to(self, target: float) -> float | None:
        """Steps until the validation loss first falls to `target`, interpolated; None if it never does."""
        return self._reach(target, self.marks)

    def seconds_to(self, target: float) -> float | None:
        """Training seconds until the validation loss first falls to `target`; None if it never does."""
        return self._reach(target, self.seconds)

    def diverged(self, spike: float = 2.0) -> bool:
        """Whether the training loss stopped being finite or rose above `spike` times its lowest so far."""
        lowest = math.inf
        for loss in self.losses:
            if not math.isfinite(loss) or loss > spike * lowest:
                return True
            lowest = min(lowest, loss)
        return False

    def record(self) -> dict[str, Any]:
        """For the bundle's samples: what the numbers were made from."""
        return {"marks": self.marks, "validation": self.validation, "seconds": self.seconds}

    def _reach(self, target: float, along: Sequence[float]) -> float | None:
        before = None
        for at, loss in zip(along, self.validation, strict=True):
            if loss <= target:
                if before is None or before[1] == loss:
                    return float(at)
                return before[0] + (at - before[0]) * (before[1] - target) / (before[1] - loss)
            before = (at, loss)
        return None


def adamw(plan: Plan) -> Make:
    """AdamW on matrices; norms and biases do not decay."""

    def make(parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        groups = [
            {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": plan.weight_decay},
            {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
        ]
        groups = [group for group in groups if group["params"]]
        on_gpu = parameters[0].is_cuda
        rate = torch.tensor(plan.rate, device=parameters[0].device) if on_gpu else plan.rate
        return torch.optim.AdamW(groups, lr=rate, betas=plan.betas, capturable=on_gpu)

    return make


def train(
    model: nn.Module,
    draw: Draw,
    plan: Plan,
    evaluate: Callable[[nn.Module], float] | None = None,
    *,
    optimizer: Make | None = None,
    loss: Loss | None = None,
    progress: Callable[[float], None] | None = None,
    graphed: bool | None = None,
) -> Curve:
    """Trains in place. `draw` gives batches of one size (else `graphed=False`), `evaluate` a validation loss.

    `graphed`: by default with the AdamW above; another optimizer, or a loss that syncs, may not be captured.
    """
    device = next(model.parameters()).device
    found, generator = Curve(), torch.Generator().manual_seed(plan.seed)
    graphed = (device.type == "cuda" and optimizer is None) if graphed is None else graphed
    stepper = _Stepper(model, (optimizer or adamw(plan))(list(model.parameters())), plan, loss or _own_loss)
    marks = {max(1, round(plan.steps * part / plan.evaluations)) for part in range(1, plan.evaluations + 1)}
    kept, elapsed = torch.zeros(plan.steps, device=device), 0.0
    model.train()
    if graphed:
        stepper.capture(draw(0, copy_of(generator)))
    begun = time.perf_counter()
    for step in range(plan.steps):
        kept[step] = stepper.step(draw(step, generator), plan.scale(step))
        if step + 1 not in marks:
            continue
        synchronise(device)
        elapsed += time.perf_counter() - begun
        if evaluate:
            model.eval()
            with torch.no_grad():
                found.validation.append(evaluate(model))
            model.train()
            found.marks.append(step + 1)
            found.seconds.append(elapsed)
        if progress:
            progress((step + 1) / plan.steps)
        synchronise(device)
        begun = time.perf_counter()
    found.losses = kept.tolist()
    model.eval()
    return found


def validation_loss(
    model: nn.Module, batch: torch.Tensor, parts: int = 8, loss: Loss | None = None, half: bool = True
) -> float:
    """Mean loss of (sequences, length + 1) ids, in `parts` pieces of equal size, in nats a token."""
    pieces = batch.chunk(parts)
    with torch.no_grad(), autocast(batch.device, half):
        return sum((loss or _own_loss)(model, piece).float().item() for piece in pieces) / len(pieces)


def autocast(device: torch.device, half: bool = True) -> torch.autocast:
    """bf16 on a GPU; nothing on a CPU."""
    return torch.autocast("cuda", torch.bfloat16, enabled=half and device.type == "cuda", cache_enabled=False)


def copy_of(generator: torch.Generator) -> torch.Generator:
    """A generator in the same state."""
    return torch.Generator().set_state(generator.get_state())


def _own_loss(model: nn.Module, batch: torch.Tensor) -> torch.Tensor:
    return model.loss(batch)


class _Stepper:
    """Forward, backward, clip and update; captured as a CUDA graph if so asked."""

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, plan: Plan, loss: Loss) -> None:
        self.model, self.optimizer, self.plan, self.loss = model, optimizer, plan, loss
        self.parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self.peaks = [float(group["lr"]) for group in optimizer.param_groups]
        self.graph: torch.cuda.CUDAGraph | None = None
        self.batch = self.value = torch.empty(0)

    def step(self, batch: torch.Tensor, scale: float) -> torch.Tensor:
        """One update at `scale` times the peak rate; the loss before it."""
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].fill_(peak * scale)
            else:
                group["lr"] = peak * scale
        if self.graph is None:
            return self._update(batch)
        self.batch.copy_(batch)
        self.graph.replay()
        return self.value

    def capture(self, batch: torch.Tensor) -> None:
        """Records one update; weights and optimizer are as if it had not happened."""
        before, self.batch = copy.deepcopy(self.model.state_dict()), batch.clone()
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self._update(self.batch)
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.value = self._update(self.batch)
        with torch.no_grad():
            for name, tensor in self.model.state_dict().items():
                tensor.copy_(before[name])
            for state in self.optimizer.state.values():
                for tensor in state.values():
                    if isinstance(tensor, torch.Tensor):
                        tensor.zero_()

    def _update(self, batch: torch.Tensor) -> torch.Tensor:
        with autocast(batch.device, self.plan.half):
            loss = self.loss(self.model, batch)
        loss.backward()
        if self.plan.clip:
            nn.utils.clip_grad_norm_(self.parameters, self.plan.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.detach()
