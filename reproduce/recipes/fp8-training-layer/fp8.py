"""Matrix products of fp8 numbers with one scale for each tensor: e4m3 forward, e5m2 for arriving gradients.

On a GPU by cuBLAS (torch._scaled_mm) and a fused cast; elsewhere the numbers are rounded alike and multiplied
in fp32. Matrices are (rows, columns); a product takes both with the summed dimension last.
"""

import importlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

FORWARD, GRADIENT = torch.float8_e4m3fn, torch.float8_e5m2
TINY = 1e-30


@dataclass
class Narrow:
    """A matrix in fp8, the same transposed, and what its numbers are to be multiplied by (fp32 scalar)."""

    values: torch.Tensor
    transposed: torch.Tensor | None
    scale: torch.Tensor

    @classmethod
    def of(cls, x: torch.Tensor, dtype: torch.dtype = FORWARD, transposed: bool = True) -> "Narrow":
        """Rounds a matrix; its largest number becomes the format's largest."""
        largest = torch.linalg.vector_norm(x, torch.inf).float().clamp(min=TINY)
        scale = largest / torch.finfo(dtype).max
        if x.is_cuda:
            kernels = importlib.import_module(".kernels", __package__)  # needs Triton
            return cls(*kernels.cast(x, scale, dtype, transposed), scale)
        limit = torch.finfo(dtype).max
        values = (x.float() / scale).clamp(-limit, limit).to(dtype)
        return cls(values, values.t().contiguous() if transposed else None, scale)

    def wide(self) -> torch.Tensor:
        """In fp32."""
        return self.values.float() * self.scale


def product(
    a: torch.Tensor, b: torch.Tensor, scale_a: torch.Tensor, scale_b: torch.Tensor, fast: bool
) -> torch.Tensor:
    """(rows of a, rows of b): a b', in bf16 on a GPU; `fast` lets tensor cores keep fewer bits of the sum."""
    if a.is_cuda:
        return torch._scaled_mm(
            a, b.t(), scale_a=scale_a, scale_b=scale_b, out_dtype=torch.bfloat16, use_fast_accum=fast
        )
    return (a.float() * scale_a) @ (b.float() * scale_b).t()


class Product(torch.autograd.Function):
    """x W' for x (tokens, inputs); the weight's gradient is returned, or handed to `weights.receive`."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor | None, weights: Any) -> torch.Tensor:
        narrow = Narrow.of(x)
        held: Narrow = weights.narrow
        ctx.save_for_backward(narrow.transposed, narrow.scale, held.transposed, held.scale)
        ctx.weights, ctx.returns = weights, weight is not None
        return product(narrow.values, held.values, narrow.scale, held.scale, fast=True)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None, None]:
        x, x_scale, weight, weight_scale = ctx.saved_tensors
        arriving = Narrow.of(gradient, GRADIENT)
        toward_x = product(arriving.values, weight, arriving.scale, weight_scale, fast=False)
        toward_weight = product(arriving.transposed, x, arriving.scale, x_scale, fast=False)
        if ctx.returns:
            return toward_x, toward_weight, None
        ctx.weights.receive(toward_weight)
        return toward_x, None, None


class Linear8(nn.Module):
    """A linear layer whose products are fp8; its weight, kept as it was, is rounded anew for each pass."""

    def __init__(self, weight: nn.Parameter) -> None:
        super().__init__()
        self.weight = weight
        self.narrow: Narrow | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., inputs) to (..., outputs)."""
        half = torch.bfloat16 if x.is_cuda else torch.float32
        self.narrow = Narrow.of(self.weight.detach().to(half))
        out = Product.apply(x.to(half).flatten(0, -2), self.weight, self)
        return out.view(*x.shape[:-1], -1)


def convert(module: nn.Module) -> None:
    """Replaces every linear layer inside by one in fp8, in place."""
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            setattr(module, name, Linear8(child.weight))
        else:
            convert(child)
