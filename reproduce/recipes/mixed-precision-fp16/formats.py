"""Ways of computing a loss and its gradients: which number format, which loss scale, master weights or none.

The model's fp32 parameters are the master weights; a narrow copy of them is made in each step, and
activations and gradients have its format. Source: arXiv:1710.03740, section 3.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional

from reproduce.recipes.blocks import learning


@dataclass(frozen=True)
class Way:
    """A number format, fp32 unless given; the factor of the loss; whether updates go to fp32 weights."""

    dtype: torch.dtype = torch.float32
    scaled: bool = False
    master: bool = True


WAYS = {
    "fp32": Way(),
    "fp16": Way(torch.float16, scaled=True),
    "fp16 without loss scaling": Way(torch.float16),
    "fp16 without master weights": Way(torch.float16, scaled=True, master=False),
    "bf16": Way(torch.bfloat16),
}


class Narrow(torch.autograd.Function):
    """A weight in another format; its gradient comes back in fp32, divided by the loss scale."""

    @staticmethod
    def forward(ctx: Any, weight: torch.Tensor, dtype: torch.dtype, scale: float) -> torch.Tensor:
        ctx.scale = scale
        return weight.to(dtype)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return gradient.float() / ctx.scale, None, None


class Scaled(torch.autograd.Function):
    """The same value, whose gradient is multiplied by the loss scale."""

    @staticmethod
    def forward(ctx: Any, loss: torch.Tensor, scale: float) -> torch.Tensor:
        ctx.scale = scale
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradient * ctx.scale, None


def loss_of(way: Way, scale: float) -> learning.Loss:
    """Mean loss in nats of (batch, length + 1) ids, computed that way; its gradients are unscaled."""
    factor = scale if way.scaled else 1.0

    def loss(model: nn.Module, tokens: torch.Tensor) -> torch.Tensor:
        logits = functional_call(model, narrow(model, way, factor), (tokens[:, :-1],))
        value = functional.cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten())
        return Scaled.apply(value, factor)

    return loss


def narrow(model: nn.Module, way: Way, factor: float) -> dict[str, torch.Tensor]:
    """The model's parameters in the way's format; in fp32 they are the parameters themselves."""
    if way.dtype is torch.float32:
        return dict(model.named_parameters())
    return {name: Narrow.apply(weight, way.dtype, factor) for name, weight in model.named_parameters()}


def optimizer_of(way: Way, plan: learning.Plan, lost: list[torch.Tensor]) -> learning.Make:
    """AdamW with fp32 moments; without master weights each update is rounded to the way's format.

    `lost` then gets a tensor (2,): how many weights were updated so far, and how many of them rounded back.
    """
    make = learning.adamw(plan)
    if way.master:
        return make

    def rounding(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        optimizer, before = make(parameters), [parameter.detach().clone() for parameter in parameters]
        counts = torch.zeros(2, dtype=torch.float64, device=before[0].device)
        lost.append(counts)

        def remember(*_: object) -> None:
            for old, parameter in zip(before, parameters, strict=True):
                old.copy_(parameter.data)

        def rounded(*_: object) -> None:
            for old, parameter in zip(before, parameters, strict=True):
                moved = parameter.data != old
                parameter.data.copy_(parameter.data.to(way.dtype))
                counts.add_(torch.stack((moved.sum(), (moved & (parameter.data == old)).sum())))

        optimizer.register_step_pre_hook(remember)
        optimizer.register_step_post_hook(rounded)
        return optimizer

    return rounding
