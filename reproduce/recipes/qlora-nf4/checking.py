"""Bits counted from real buffers; products and gradients through NF4 weights against fp32 ones."""

import torch
from torch.nn import functional

from reproduce.recipes.context import Context
from reproduce.recipes.memory import tensor_bytes

from . import nf4
from .adapted import SIZES, Adapted

LIMIT = 1e-2  # RECIPES; bf16 keeps 8 bits


def count_bits(context: Context) -> None:
    """Measures bits_saved and bits_per_weight on one matrix of the model."""
    shape = SIZES[context["model"]].matrices["query"]
    kept = nf4.Nf4Weight.of(torch.randn(shape, device=context.device))
    weights = shape[0] * shape[1]
    single = torch.empty(weights // nf4.BLOCK, dtype=torch.float32, device="meta")
    saved = 8 * (tensor_bytes([single]) - kept.scale_bytes) / weights
    detail = {"shape": list(shape), "scale_bytes": kept.scale_bytes, "single_bytes": tensor_bytes([single])}
    context.measure("bits_saved", saved, detail=detail)
    context.measure("bits_per_weight", 8 * tensor_bytes(kept.buffers) / weights, detail=detail)


def guard(context: Context) -> None:
    """Guards a product with an NF4 weight, and both adapters' gradients, against fp32 throughout."""
    torch.manual_seed(0)
    layer = Adapted((256, 512), 16, torch.bfloat16, context.device, four_bit=True)
    layer.up.data.normal_(0, 0.02)
    x = torch.randn(64, 512, device=context.device).bfloat16().requires_grad_()
    out = layer(x)
    out.float().square().mean().backward()
    weight = _plainly(layer.base)
    down, up, exact_x = (t.detach().float().requires_grad_() for t in (layer.down, layer.up, x))
    exact = exact_x @ weight.T + functional.linear(functional.linear(exact_x, down), up) * layer.factor
    exact.square().mean().backward()
    context.guard("product", _off(out, exact), LIMIT, "Relative error of a layer's output against fp32.")
    pairs = ((layer.down.grad, down.grad), (layer.up.grad, up.grad), (x.grad, exact_x.grad))
    context.guard(
        "gradients",
        max(_off(found, true) for found, true in pairs),
        LIMIT,
        "Largest relative error of the gradients of both adapters and of the input, against fp32.",
    )


def _plainly(kept: nf4.Nf4Weight) -> torch.Tensor:
    """The weight from its codes, element by element."""
    codes = torch.stack((kept.packed & 15, kept.packed >> 4), 1).flatten(1).long()
    table = torch.tensor(nf4.nf4(), device=codes.device)
    scales = kept.scales.float() * kept.second.repeat_interleave(nf4.SECOND) + kept.mean
    return (table[codes] * scales[:, None]).view(kept.shape)


def _off(found: torch.Tensor, exact: torch.Tensor) -> float:
    return ((found.float() - exact).norm() / exact.norm()).item()
