"""Correctness first: fp8 products and gradients against 64-bit arithmetic, and narrow Adam against wide."""

import torch
from torch import nn

from reproduce.recipes.context import Context

from . import fp8, states

FORWARD_LIMIT = 0.04  # relative; e4m3 keeps three bits after the first
GRADIENT_LIMIT = 0.08  # e5m2 keeps two
ADAM_LIMIT = 0.1  # of the distance that ten updates went
TOKENS, INPUTS, OUTPUTS = 256, 512, 384


def check(context: Context) -> None:
    """Guards errors of products, numbers that overflowed, and ten updates of narrow Adam."""
    generator = torch.Generator().manual_seed(0)
    half = torch.bfloat16 if context.device.type == "cuda" else torch.float32
    x, weight, arriving = (
        torch.randn(shape, generator=generator).to(context.device, half)
        for shape in ((TOKENS, INPUTS), (OUTPUTS, INPUTS), (TOKENS, OUTPUTS))
    )
    found = _products(x, weight, arriving, fp8=True)
    exact = _products(x.double(), weight.double(), arriving.double(), fp8=False)
    errors = [
        ((a.double() - b).norm() / b.norm()).nan_to_num(nan=1e9).item()
        for a, b in zip(found, exact, strict=True)
    ]
    context.guard("product_error", errors[0], FORWARD_LIMIT, "Relative error of x W' against fp64.")
    context.guard(
        "gradient_error", max(errors[1:]), GRADIENT_LIMIT, "The larger relative error of both gradients."
    )
    broken = sum((~part.isfinite()).sum().item() for part in found)
    context.guard("overflow", broken, 0, "Results that are not finite.")
    context.guard(
        "narrow_adam",
        _apart(context.device),
        ADAM_LIMIT,
        "Distance after ten updates to 32-bit Adam's weights, relative to how far those went.",
    )


def _products(x: torch.Tensor, weight: torch.Tensor, arriving: torch.Tensor, fp8: bool) -> list[torch.Tensor]:
    """x W', and the gradients of both."""
    x, parameter = x.clone().requires_grad_(), nn.Parameter(weight.clone())
    layer = make(parameter) if fp8 else lambda given: given @ parameter.t()
    out = layer(x)
    out.backward(arriving.to(out.dtype))
    return [out.detach(), x.grad, parameter.grad]


def make(weight: nn.Parameter) -> nn.Module:
    """The fp8 layer under test."""
    return fp8.Linear8(weight)


def _apart(device: torch.device) -> float:
    start = 0.02 * torch.randn(64, states.BLOCK // 64, generator=torch.Generator().manual_seed(1))
    ends = []
    for narrow in (True, False):
        generator = torch.Generator().manual_seed(2)
        weight = nn.Parameter(start.clone().to(device))
        held = states.NarrowWeights(weight.detach()) if narrow else states.WideAdam([weight])
        for _ in range(10):
            gradient = torch.randn(start.shape, generator=generator).to(device)
            if narrow:
                held.receive(gradient)
            else:
                weight.grad = gradient
            held.step()
        ends.append(held.master.float() / states.MASTER_FACTOR if narrow else weight.detach())
    return ((ends[0] - ends[1]).norm() / (ends[1] - start.to(device)).norm()).item()
