"""Correctness first: fused and standard attention against a 64-bit reference."""

import torch

from reproduce.recipes.context import Context

from .attention import Batch, both, fused, kernels, standard

LIMIT = 2e-3  # of the relative error in half precision
NO_WORSE = 1.5  # the fused error may be that many times the standard one
SEQUENCES = 2


def check(context: Context, dtype: torch.dtype) -> None:
    """Guards the error of outputs and gradients of each fused kernel, also against the standard one's."""
    shape = (SEQUENCES, context["heads"], context["length"], context["head_dim"])
    batch = Batch.random(shape, dtype, context.device)
    exact = _results(standard(), _in_double(batch))
    plain = _errors(_results(standard(), batch), exact)
    for name, backend in kernels(context.device).items():
        errors = _errors(_results(fused(backend), batch), exact)
        for part, error, reference in zip(("output", "gradient"), errors, plain, strict=True):
            context.guard(
                f"{name}_{part}_error",
                error,
                LIMIT,
                f"Relative error of the {part} of the {name} kernel against 64-bit arithmetic.",
            )
            context.guard(
                f"{name}_{part}_no_worse",
                error,
                NO_WORSE * reference,
                f"The same, against {NO_WORSE} times the error of standard attention, {reference:.2g}.",
            )


def _results(attend: object, batch: Batch) -> list[torch.Tensor]:
    """The output, then the gradients of queries, keys and values."""
    return [attend(*batch.qkv).detach(), *both(attend, [batch])(0)]


def _in_double(batch: Batch) -> Batch:
    q, k, v = (tensor.detach().double().requires_grad_() for tensor in batch.qkv)
    return Batch((q, k, v), batch.gradient.double())


def _errors(found: list[torch.Tensor], exact: list[torch.Tensor]) -> tuple[float, float]:
    """Relative error of the output, and the largest of the three gradients'."""
    errors = [((a.double() - b).norm() / b.norm()).item() for a, b in zip(found, exact, strict=True)]
    return errors[0], max(errors[1:])
