"""Training of a fleet: each model at its own learning rate, a step of all models one CUDA graph on a GPU."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from reproduce.recipes.blocks.fleet import Fleet
from reproduce.recipes.blocks.learning import Plan
from reproduce.recipes.toolbox import synchronise

VERSION = 1
EPSILON = 1e-8


@dataclass(frozen=True)
class Windows:
    """What to learn from: windows of `content` (uint8, on the device) that begin at `starts`.

    `starts` is (steps, models, batch), or (steps, 1, batch) if all models see the same windows;
    `lengths` has one length for all steps, or one for each.
    """

    content: torch.Tensor
    starts: torch.Tensor
    lengths: Sequence[int]

    def length(self, step: int) -> int:
        """Tokens that are predicted in each window of the step."""
        return self.lengths[step] if len(self.lengths) > 1 else self.lengths[0]


@dataclass
class Curves:
    """What training left: losses (steps, models); validation losses (models,) at `marks`, with seconds."""

    losses: torch.Tensor
    norms: torch.Tensor  # (steps, models): of the gradients before clipping
    marks: list[int] = field(default_factory=list)
    validation: list[torch.Tensor] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def final(self) -> torch.Tensor:
        """(models,) the last validation losses."""
        return self.validation[-1]


def random_windows(
    size: int, steps: int, models: int, batch: int, length: int, seed: int, begin: int = 0
) -> torch.Tensor:
    """(steps, models, batch) starts, anywhere in `size` bytes from `begin` on; equal on every device."""
    generator = torch.Generator().manual_seed(seed)
    return begin + torch.randint(size - length, (steps, models, batch), generator=generator)


def one_epoch(steps: int, batch: int, length: int, seed: int, begin: int = 0) -> torch.Tensor:
    """(steps, 1, batch) starts of adjoining windows in random order: no byte is learnt twice."""
    order = torch.randperm(steps * batch, generator=torch.Generator().manual_seed(seed))
    return begin + order.view(steps, 1, batch) * length


def train(
    fleet: Fleet,
    windows: Windows,
    plan: Plan,
    rates: Sequence[float],
    evaluate: Callable[[Fleet], torch.Tensor] | None = None,
    progress: Callable[[float], None] | None = None,
) -> Curves:
    """Trains in place by AdamW, each model at its own peak rate (`rates`, not that of the plan).

    `evaluate` gives (models,) validation losses. Gradients are clipped for each model apart.
    """
    device, marks = fleet.flat.device, _marks(plan)
    stepper, elapsed = _Stepper(fleet, windows, plan, rates), 0.0
    kept = torch.zeros(2, plan.steps, fleet.count, device=device)
    found = Curves(kept[0], kept[1])
    if device.type == "cuda":
        stepper.capture()
    synchronise(device)
    begun = time.perf_counter()
    for step in range(plan.steps):
        kept[:, step] = stepper.step(step)
        if step + 1 not in marks:
            continue
        synchronise(device)
        elapsed += time.perf_counter() - begun
        if evaluate:
            found.validation.append(evaluate(fleet).float().cpu())
            found.marks.append(step + 1)
            found.seconds.append(elapsed)
        if progress:
            progress((step + 1) / plan.steps)
        synchronise(device)
        begun = time.perf_counter()
    found.losses, found.norms = kept.cpu()
    del stepper
    if device.type == "cuda":
        torch.cuda.empty_cache()  # the graphs' memory, which other fleets cannot use
    return found


class _Stepper:
    """Forward, backward, clip and update of all models; on a GPU one CUDA graph for each length."""

    def __init__(self, fleet: Fleet, windows: Windows, plan: Plan, rates: Sequence[float]) -> None:
        flat = fleet.flat
        self.fleet, self.windows, self.plan, device = fleet, windows, plan, flat.device
        self.starts = windows.starts.to(device)
        scales = torch.tensor([plan.scale(step) for step in range(plan.steps)], dtype=torch.float32)
        self.rates = (scales[:, None] * torch.tensor(rates, dtype=torch.float32)).to(device)
        self.runs = _runs(fleet)
        self.moments = [torch.zeros_like(flat, requires_grad=False) for _ in range(2)]
        self.done = torch.zeros((), device=device)
        self.now, self.rate = self.starts[0].clone(), self.rates[0].clone()
        self.graphs: dict[int, torch.cuda.CUDAGraph] = {}
        self.kept: dict[int, torch.Tensor] = {}

    def step(self, step: int) -> torch.Tensor:
        """One update; (2, models): losses before it, norms of the gradients."""
        self.now.copy_(self.starts[step])
        self.rate.copy_(self.rates[step])
        length = self.windows.length(step)
        if not self.graphs:
            return self._update(length)
        self.graphs[length].replay()
        return self.kept[length]

    def capture(self) -> None:
        """Records an update of each length, longest first; all is then as if nothing had happened."""
        before, pool = self.fleet.flat.detach().clone(), torch.cuda.graph_pool_handle()
        side = torch.cuda.Stream()
        for length in sorted(set(self.windows.lengths), reverse=True):
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(2):
                    self._update(length)
            torch.cuda.current_stream().wait_stream(side)
            self.graphs[length] = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graphs[length], pool=pool):
                self.kept[length] = self._update(length)
        with torch.no_grad():
            self.fleet.flat.copy_(before)
        for tensor in (*self.moments, self.done):
            tensor.zero_()

    def _update(self, length: int) -> torch.Tensor:
        places = self.now[..., None] + torch.arange(length + 1, device=self.now.device)
        losses = self.fleet.loss(self.windows.content[places].long())
        (gradient,) = torch.autograd.grad(losses.sum(), self.fleet.flat)
        norms = torch.linalg.vector_norm(gradient, dim=1)
        with torch.no_grad():
            self.done += 1
            shrink = (norms / self.plan.clip).clamp(min=1) if self.plan.clip else torch.ones_like(norms)
            for model in range(self.fleet.count):
                for begin, end, multiple in self.runs:
                    self._move(gradient, model, slice(begin, end), multiple, shrink[model])
        return torch.stack((losses.detach().float(), norms.float()))

    def _move(
        self, gradient: torch.Tensor, model: int, part: slice, multiple: float, shrink: torch.Tensor
    ) -> None:
        torch._fused_adamw_(
            [self.fleet.flat[model, part]],
            [gradient[model, part]],
            *([moment[model, part]] for moment in self.moments),
            [],
            [self.done],
            lr=self.rate[model] * multiple,
            beta1=self.plan.betas[0],
            beta2=self.plan.betas[1],
            weight_decay=self.plan.weight_decay,
            eps=EPSILON,
            amsgrad=False,
            maximize=False,
            grad_scale=shrink.float(),
        )


def _runs(fleet: Fleet) -> list[tuple[int, int, float]]:
    """Where in memory matrices of the same multiple of the learning rate begin and end, and that multiple."""
    found: list[tuple[int, int, float]] = []
    rate = fleet.manner.rate or (lambda name, size: 1.0)
    place = 0
    for name, (rows, columns) in fleet.sizes.items():
        multiple, end = rate(name, (rows, columns)), place + rows * columns
        if found and found[-1][2] == multiple:
            found[-1] = (found[-1][0], end, multiple)
        else:
            found.append((place, end, multiple))
        place = end
    return found


def _marks(plan: Plan) -> set[int]:
    return {max(1, round(plan.steps * part / plan.evaluations)) for part in range(1, plan.evaluations + 1)}
