"""Trains dense and sparse models alike and finds when the sparse ones reach the dense one's last loss."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import nn

from reproduce.recipes.blocks.counting import flop
from reproduce.recipes.blocks.learning import Curve, Plan, train, validation_loss
from reproduce.recipes.blocks.tinygpt import Shape, TinyGPT
from reproduce.recipes.context import Context
from reproduce.recipes.toolbox import release

from . import experts
from .dialects import Mixture

RATES = {"smoke": (2e-3,), "full": (2.5e-4, 5e-4, 1e-3, 2e-3)}
SEARCH = 3  # the search of a rate trains this part of the steps
EVALUATIONS = {"smoke": 6, "full": 40}
LAYERS = {"smoke": 2, "full": 4}
LENGTH = {"smoke": 32, "full": 128}  # bytes in a window
WINDOWS = {"smoke": 20, "full": 1200}  # of each dialect, more than are drawn
HELD_OUT = {"smoke": 16, "full": 256}


@dataclass
class Arm:
    """Models with so many experts in every other layer (0: dense), one for each seed."""

    experts: int
    rate: float = 0.0
    searched: dict[str, float] = field(default_factory=dict)  # last validation loss by rate
    curves: list[Curve] = field(default_factory=list)
    loads: list[list[list[int]]] = field(default_factory=list)  # of each seed and layer, on held-out tokens
    dropped: list[float] = field(default_factory=list)
    apart: list[dict[str, float]] = field(default_factory=list)  # losses on dialects and on code
    parameters: int = 0
    flop: int = 0  # forward and backward, a token


class Trainer:
    """One corpus, shape and plan for all arms."""

    def __init__(self, context: Context) -> None:
        self.context = context
        width, length = context["width"], LENGTH[context.preset]
        self.shape = Shape(LAYERS[context.preset], width, max(1, width // 64), length, tied=False)
        self.data = Mixture(context["dialects"], WINDOWS[context.preset], length, context.device)
        self.held = self.data.held_out(HELD_OUT[context.preset])
        # No decay: a curve's loss at a step does not depend on how long it is still to run.
        self.plan = Plan(context["steps"], 0.0, floor=1.0, evaluations=EVALUATIONS[context.preset])
        context.data["corpus"] = self.data.corpus.record() | {"dialects": context["dialects"]}

    def arm(self, number: int) -> Arm:
        """Searches the rate on a seed of its own, then trains every seed at it."""
        found = Arm(number)
        for rate in RATES[self.context.preset]:
            plan = replace(self.plan, rate=rate, seed=1000, steps=max(2, self.plan.steps // SEARCH))
            found.searched[f"{rate:g}"] = self._train(number, plan)[1].final
        found.rate = float(min(found.searched, key=found.searched.__getitem__))
        for seed in range(self.context["seeds"]):
            model, curve = self._train(number, replace(self.plan, rate=found.rate, seed=seed))
            found.curves.append(curve)
            self._look(found, model)
        return found

    def _train(self, number: int, plan: Plan) -> tuple[TinyGPT, Curve]:
        release(self.context.device)
        with self.context.device:
            model = experts.made(self.shape, number, plan.seed)
        draw, on_gpu = partial(self._draw, self.context["batch"]), self.context.device.type == "cuda"
        how = {"optimizer": partial(one_pass_adamw, plan), "graphed": True} if on_gpu else {}
        curve = train(model, draw, plan, self._evaluate, loss=experts.training_loss, **how)
        return model, curve

    def _draw(self, count: int, step: int, generator: torch.Generator) -> torch.Tensor:
        return self.data.draw(count, generator)

    def _evaluate(self, model: TinyGPT) -> float:
        return validation_loss(model, self.held, parts=2)

    @torch.no_grad()
    def _look(self, arm: Arm, model: TinyGPT) -> None:
        """Counts what the arm costs and how its experts are loaded, on held-out tokens."""
        kinds = {"dialects": self.held[::2], "code": self.held[1::2]}
        arm.apart.append({kind: model.loss(windows).item() for kind, windows in kinds.items()})
        model.loss(self.held)
        layers = list(experts.switches(model))
        arm.loads.append([layer.load.tolist() for layer in layers])
        tokens = self.held[:, 1:].numel() * max(1, len(layers))
        arm.dropped.append(sum(layer.dropped.item() for layer in layers) / tokens)
        if not arm.parameters:
            arm.parameters = model.size()
            arm.flop = step_flop(model, self.held[: self.context["batch"]])


def one_pass_adamw(plan: Plan, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
    """AdamW of blocks/learning in one pass over the weights, which are many here; for a CUDA graph."""
    rate = torch.tensor(plan.rate, device=parameters[0].device)
    groups = [
        {"params": [p for p in parameters if (p.dim() < 2) == small], "weight_decay": decay}
        for small, decay in ((False, plan.weight_decay), (True, 0.0))
    ]
    return torch.optim.AdamW(groups, lr=rate, betas=plan.betas, fused=True, capturable=True)


@torch.enable_grad()
def step_flop(model: TinyGPT, batch: torch.Tensor) -> int:
    """FLOP of forward and backward for each token, padding of the experts' rooms included."""
    counted = flop(lambda: experts.training_loss(model, batch).backward())
    model.zero_grad(set_to_none=True)
    return counted // batch[:, 1:].numel()


def record(arm: Arm) -> dict[str, Any]:
    """For the samples: what the numbers were made from."""
    return {
        "rate": arm.rate,
        "searched": arm.searched,
        "parameters": arm.parameters,
        "flop_a_token": arm.flop,
        "dropped": arm.dropped,
        "loads": arm.loads,
        "losses": arm.apart,
        "curves": [curve.record() for curve in arm.curves],
    }
