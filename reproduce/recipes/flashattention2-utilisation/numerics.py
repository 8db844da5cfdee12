"""Correctness: the fused kernels against a 64-bit reference, causal and not."""

import torch

from reproduce.recipes.context import Context

from . import attention
from .attention import Batch, both, standard

LIMIT = {torch.float16: 2e-3, torch.bfloat16: 1.6e-2, torch.float32: 1e-5}  # relative errors
NO_WORSE = 2.0  # times the error of standard attention in the same format
LENGTH, HEADS = 512, 2


def check(context: Context, dtype: torch.dtype, kernels: list[str]) -> None:
    """Guards the error of outputs and gradients of every kernel named, also against the standard one's."""
    for head_dim in context["head_dims"]:
        for causal in (False, True):
            batch = Batch.random((1, HEADS, min(LENGTH, context["tokens"]), head_dim), dtype, context.device)
            q, k, v = (tensor.detach().double().requires_grad_() for tensor in batch.qkv)
            exact = _results("standard", Batch((q, k, v), batch.gradient.double()), causal)
            plain = _worst(_results("standard", batch, causal), exact)
            for kernel in kernels:
                error = _worst(_results(kernel, batch, causal), exact)
                name = f"{kernel}_d{head_dim}{'_causal' if causal else ''}"
                context.guard(
                    f"{name}_error",
                    error,
                    LIMIT[dtype],
                    "Largest relative error of output and gradients against 64-bit arithmetic.",
                )
                context.guard(
                    f"{name}_no_worse",
                    error,
                    NO_WORSE * plain,
                    f"The same, against {NO_WORSE} times the error of standard attention, {plain:.2g}.",
                )


def _results(kernel: str, batch: Batch, causal: bool) -> list[torch.Tensor]:
    """The output, then the gradients of queries, keys and values."""
    attend = standard if kernel == "standard" else getattr(attention, kernel)
    return [attend(*batch.qkv, causal).detach(), *both(attend, batch, causal)(0)]


def _worst(found: list[torch.Tensor], exact: list[torch.Tensor]) -> float:
    errors = [((a.double() - b).norm() / b.norm()).item() for a, b in zip(found, exact, strict=True)]
    return max(errors)
