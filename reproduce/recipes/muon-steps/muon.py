"""Muon: momentum made orthogonal by Newton-Schulz iterations; other parameters learn by AdamW.

Source: arXiv:2502.16982, section 2; the coefficients are Keller Jordan's. A CUDA graph may capture a step.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
MOMENTUM = 0.95
UPDATE_RMS = 0.2  # of every update, as AdamW's is about


def orthogonal(stack: torch.Tensor) -> torch.Tensor:
    """(k, m, n) matrices with singular values near one and the same singular vectors; bf16 on a GPU."""
    x = stack.bfloat16() if stack.is_cuda else stack.float()
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.mT if tall else x).to(stack.dtype)


def flop_of(shapes: Iterable[Sequence[int]]) -> int:
    """FLOP of orthogonalising a matrix of each shape once: X X', its square, and their product with X."""
    total = 0
    for shape in shapes:
        m, n = sorted(shape)
        total += ITERATIONS * (2 * m * m * n + 2 * m**3 + 2 * m * m * n)
    return total


class Muon(torch.optim.Optimizer):
    """Groups with `orthogonal` set hold matrices; the others are updated by AdamW."""

    def __init__(
        self, groups: Iterable[dict[str, Any]], lr: float | torch.Tensor, betas: tuple[float, float]
    ) -> None:
        super().__init__(groups, {"lr": lr, "betas": betas, "weight_decay": 0.0, "orthogonal": False})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        """One update of every parameter that has a gradient; a closure is not called."""
        for group in self.param_groups:
            alike: dict[torch.Size, list[nn.Parameter]] = {}
            for parameter in (p for p in group["params"] if p.grad is not None):
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                if group["orthogonal"]:
                    alike.setdefault(parameter.shape, []).append(parameter)
                else:
                    self._adam(parameter, group)
            for parameters in alike.values():  # matrices of one shape are multiplied together
                for parameter, move in zip(parameters, self._moves(parameters), strict=True):
                    parameter.sub_(group["lr"] * move)

    def _moves(self, parameters: list[nn.Parameter]) -> torch.Tensor:
        """(k, m, n) updates of matrices of one shape, by Nesterov's momentum."""
        ahead = []
        for parameter in parameters:
            momentum = self._kept(parameter, "momentum")
            momentum.mul_(MOMENTUM).add_(parameter.grad)
            ahead.append(parameter.grad + MOMENTUM * momentum)
        return UPDATE_RMS * math.sqrt(max(parameters[0].shape)) * orthogonal(torch.stack(ahead))

    def _adam(self, parameter: nn.Parameter, group: dict[str, Any]) -> None:
        first, second = group["betas"]
        m, v = (self._kept(parameter, name) for name in ("first", "second"))
        step = self.state[parameter].setdefault("step", torch.zeros((), device=parameter.device))
        step += 1
        m.mul_(first).add_(parameter.grad, alpha=1 - first)
        v.mul_(second).addcmul_(parameter.grad, parameter.grad, value=1 - second)
        size = (v / (1 - second**step)).sqrt_().add_(1e-8)
        parameter.sub_(group["lr"] / (1 - first**step) * m / size)

    def _kept(self, parameter: nn.Parameter, name: str) -> torch.Tensor:
        if name not in self.state[parameter]:
            self.state[parameter][name] = torch.zeros_like(parameter)
        return self.state[parameter][name]


def groups_of(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Hidden matrices to be orthogonalised; embeddings, which decay, and norms, which do not, for AdamW."""
    named = list(model.named_parameters())
    hidden = [p for name, p in named if p.dim() == 2 and name.startswith("blocks.")]
    outer = [p for name, p in named if p.dim() == 2 and not name.startswith("blocks.")]
    return [
        {"params": hidden, "weight_decay": weight_decay, "orthogonal": True},
        {"params": outer, "weight_decay": weight_decay},
        {"params": [p for _, p in named if p.dim() < 2]},
    ]
