"""Fourier mixing against its definition in fp64, forward and backward, and the parameters of both models."""

import math

import torch

from reproduce.recipes.blocks.counting import on_meta, parameters
from reproduce.recipes.context import Context

from . import mixing
from .encoder import Encoder, Shape, attention_parameters

LIMIT = {"by_fft": 1e-4, "by_products": 1e-4, "by_half_products": 1e-2}  # RECIPES, section 24; bf16: ours


def check(context: Context, shape: Shape, length: int) -> None:
    """Guards every way of mixing against the definition, and that the models differ by attention alone."""
    x = torch.randn(2, length, shape.width, device=context.device, requires_grad=True)
    gradient = torch.randn_like(x)
    wanted = by_definition(x.detach().double()), by_definition(gradient.double())
    for by, limit in LIMIT.items():
        mixed = mixing.Mix.apply(x, getattr(mixing, by))
        found = mixed, torch.autograd.grad(mixed, x, gradient)[0]
        for part, value, exact in zip(("output", "gradient"), found, wanted, strict=True):
            context.guard(
                f"{by}_{part}",
                ((value.double() - exact).norm() / exact.norm()).item(),
                limit,
                f"Relative error of the {part} against the definition in fp64.",
            )
    sizes = [parameters(on_meta(lambda kind=kind: Encoder(shape, kind))) for kind in ("attention", "by_fft")]
    context.data["parameters"] = dict(zip(("bert", "fnet"), sizes, strict=True))
    context.guard(
        "same_but_attention",
        abs(sizes[0] - sizes[1] - attention_parameters(shape)),
        0,
        f"Parameters: {sizes[0]:,} with attention and {sizes[1]:,} without; the rest must be equal.",
    )


def by_definition(x: torch.Tensor) -> torch.Tensor:
    """Re(W_n x W_d) with the complex DFT matrices; its transpose, which backward needs, is itself."""
    return (_dft(x.shape[1], x.device) @ x.to(torch.complex128) @ _dft(x.shape[2], x.device)).real


def _dft(size: int, device: torch.device) -> torch.Tensor:
    at = torch.arange(size, dtype=torch.float64, device=device)
    return torch.exp(-2j * math.pi * torch.outer(at, at) / size)
