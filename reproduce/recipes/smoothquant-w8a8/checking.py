"""The int8 layer against the same rounding written out plainly in fp32: fused kernels must not change it."""

import torch
from torch.nn import functional

from reproduce.recipes.blocks.int8 import TOP
from reproduce.recipes.context import Context

from .layers import Int8, attended

LIMIT = 0.02  # 16-bit values between the products tip a few codes to their neighbours


def guard(context: Context, layer: Int8, x: torch.Tensor) -> None:
    """Guards what the layer adds to many tokens and to one."""
    worst = max(difference(layer(part), plainly(layer, part), part) for part in (x, x[:1, :1]))
    context.guard(
        "layer", worst, LIMIT, "Relative difference of what the layer adds, fused against plain int8."
    )


def difference(found: torch.Tensor, expected: torch.Tensor, x: torch.Tensor) -> float:
    """Of what a layer adds to x, relative: both results hold x itself."""
    return ((found.float() - expected.float()).norm() / (expected.float() - x.float()).norm()).item()


def plainly(layer: Int8, x: torch.Tensor) -> torch.Tensor:
    """The layer in fp32, inputs and weights of its products rounded as in int8."""
    norms = [[part.float() for part in norm] for norm in layer.dense.norms]
    x = x.float()
    qkv = _product(layer, "qkv", functional.layer_norm(x, x.shape[-1:], *norms[0]))
    x = x + _product(layer, "out", attended(qkv, layer.dense.head, None))
    hidden = _product(layer, "up", functional.layer_norm(x, x.shape[-1:], *norms[1])).relu()
    return x + _product(layer, "down", hidden)


def _product(layer: Int8, name: str, x: torch.Tensor) -> torch.Tensor:
    weight, scale = layer.weights[name], layer.scales[name]
    rounded = torch.round(x / scale).clamp(-TOP, TOP) * scale
    return functional.linear(
        rounded, weight.codes.float() * weight.scale[:, None], layer.dense.biases[name].float()
    )
