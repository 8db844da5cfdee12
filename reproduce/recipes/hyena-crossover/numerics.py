"""The operators against direct sums in 64 bits: output, and gradients of inputs and weights."""

import copy
from collections.abc import Callable
from functools import partial

import torch
from torch.nn import functional
from torch.nn.attention import SDPBackend

from reproduce.recipes.context import Context

from . import attention, hyena

LIMIT = 1e-4  # RECIPES
BATCH, LENGTH, WIDTH, HEADS = 2, 96, 16, 2


def check(context: Context) -> None:
    """Guards convolution_exact, gradient_exact and standard_exact: errors relative to the largest value."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        operator = hyena.Hyena(WIDTH, torch.float32)
        plain = attention.Attention(WIDTH, HEADS, torch.float32, SDPBackend.MATH)
        x, gradient = torch.randn(2, BATCH, LENGTH, WIDTH)
    device = context.device
    operator, plain, x, gradient = operator.to(device), plain.to(device), x.to(device), gradient.to(device)
    kernel = operator.kernel(LENGTH).detach()  # the convolution is checked, not the network that makes it
    found = _gradients(operator.mix, _weights(operator), (x, kernel), gradient)
    twin = copy.deepcopy(operator).double()
    exact = _gradients(
        partial(_direct, twin), _weights(twin), (x.double(), kernel.double()), gradient.double()
    )
    errors = [_relative(*pair) for pair in zip(found, exact, strict=True)]
    context.guard("convolution_exact", errors[0], LIMIT, "The operator's output against a direct sum.")
    context.guard("gradient_exact", max(errors[1:]), LIMIT, "Gradients of inputs and weights, the same way.")
    twin = copy.deepcopy(plain).double()
    exact = _gradients(twin, list(twin.parameters()), (x.double(),), gradient.double())
    found = attention.standard_step(plain, x.requires_grad_(), gradient)(0)
    error = max(_relative(*pair) for pair in zip(found, exact, strict=True))
    context.guard("standard_exact", error, LIMIT, "Standard attention, a few heads at a time, the same way.")


def _weights(operator: hyena.Hyena) -> list[torch.Tensor]:
    return [operator.short, operator.project.weight, operator.out.weight]


def _direct(operator: hyena.Hyena, x: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """The operator with its convolution as a product with triangular matrices."""
    gate, product = _enter(operator.project(x), operator.short)
    place = torch.arange(LENGTH, device=x.device)
    back = place[:, None] - place
    matrix = torch.where(back >= 0, kernel[:, back.clamp(min=0)], 0.0)
    return operator.out((gate * (matrix @ product[..., None])[..., 0]).transpose(1, 2))


def _enter(u: torch.Tensor, short: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """hyena.enter by PyTorch's own convolution, without padding."""
    kernel, channels = short.T[:, None], u.shape[2]
    mixed = functional.conv1d(u.transpose(1, 2), kernel, padding=2, groups=channels)
    gate, other, value = mixed[..., :LENGTH].chunk(3, dim=1)
    return gate, other * value


def _gradients(
    work: Callable[..., torch.Tensor],
    weights: list[torch.Tensor],
    inputs: tuple[torch.Tensor, ...],
    gradient: torch.Tensor,
) -> tuple[torch.Tensor, ...]:
    """The output, and the gradients of the inputs and the weights."""
    inputs = tuple(given.detach().requires_grad_() for given in inputs)
    out = work(*inputs)
    return (out, *torch.autograd.grad(out, [*inputs, *weights], gradient))


def _relative(found: torch.Tensor, exact: torch.Tensor) -> float:
    return ((found - exact).abs().max() / exact.abs().max()).item()
