"""One layer of GPT-3's kind without biases; its four products are given."""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from .fp8 import Product
from .states import NarrowWeights

Linear = Callable[[torch.Tensor], torch.Tensor]


def shapes(width: int) -> list[tuple[int, int]]:
    """(outputs, inputs) of queries, keys and values together, output, up and down."""
    return [(3 * width, width), (width, width), (4 * width, width), (width, 4 * width)]


def weights(width: int, device: torch.device, dtype: torch.dtype) -> list[nn.Parameter]:
    """Random weights; the same whenever called."""
    generator = torch.Generator(device).manual_seed(0)
    found = []
    for shape in shapes(width):
        weight = torch.empty(shape, device=device, dtype=dtype)
        found.append(nn.Parameter(weight.normal_(0.0, 0.02, generator=generator)))
    return found


def forward(x: torch.Tensor, linears: list[Linear], heads: int) -> torch.Tensor:
    """The layer, (batch, length, width) to the same; norms have no weights of their own."""
    qkv, out, up, down = linears
    batch, length, width = x.shape
    normed = functional.layer_norm(x, (width,))
    parts = qkv(normed).view(batch, length, 3, heads, -1).permute(2, 0, 3, 1, 4)
    mixed = functional.scaled_dot_product_attention(*parts, is_causal=True)
    x = x + out(mixed.transpose(1, 2).reshape(batch, length, width))
    return x + down(functional.gelu(up(functional.layer_norm(x, (width,)))))


def wide(weight: nn.Parameter) -> Linear:
    """A product in the weight's own format."""
    return lambda x: functional.linear(x, weight)


def narrow(held: NarrowWeights) -> Linear:
    """A product in fp8, whose weight gradient goes to the narrow states."""
    return lambda x: Product.apply(x.flatten(0, -2), None, held).view(*x.shape[:-1], -1)
