"""Gradients in fp16 with loss scaling against 64-bit arithmetic, and what underflows without it."""

import copy

import torch

from reproduce.recipes import corpora
from reproduce.recipes.blocks.text import Text
from reproduce.recipes.blocks.tinygpt import SMOKE, TinyGPT
from reproduce.recipes.context import Context

from . import formats

LIMIT = 3e-3  # of the relative error; half precision rounds to 5e-4
SMALLEST = 2.0**-25  # half of fp16's smallest number: what lies below becomes zero
POWERS = range(0, 17, 2)


def check(context: Context) -> None:
    """Guards the error of fp16's gradients; charts the share that underflows by loss scale."""
    text = Text.of(corpora.code(100_000), context.device)
    tokens = text.held_out(4, SMOKE.length)
    model = TinyGPT(SMOKE).to(context.device)
    exact = _gradient(copy.deepcopy(model).double(), "fp32", tokens, 1.0)
    found = _gradient(model, "fp16", tokens, context["loss_scale"])
    error = ((found.double() - exact).norm() / exact.norm()).item()
    context.guard(
        "fp16_gradient_error",
        error,
        LIMIT,
        "Relative error of the scaled and unscaled gradient in fp16 against 64-bit arithmetic.",
    )
    context.chart(
        "underflow",
        "Weight gradients of a new model that fp16 rounds to zero, by loss scale",
        ("Loss scale", "", True),
        ("Share of gradient values", "", False),
        [
            {
                "label": "rounded to zero",
                "x": [2.0**power for power in POWERS],
                "y": [underflow(exact, 2.0**power) for power in POWERS],
            }
        ],
    )


def underflow(gradient: torch.Tensor, scale: float) -> float:
    """Share of the values other than zero that fp16 cannot hold after scaling."""
    there = gradient[gradient != 0].abs()
    return ((there * scale) < SMALLEST).double().mean().item()


def _gradient(model: TinyGPT, way: str, tokens: torch.Tensor, scale: float) -> torch.Tensor:
    """Of all weights, flat."""
    loss = formats.loss_of(formats.WAYS[way], scale)(model, tokens)
    parts = torch.autograd.grad(loss, list(model.parameters()))
    return torch.cat([part.flatten() for part in parts])
