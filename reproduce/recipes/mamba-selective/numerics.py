"""The scan that is used, and the parallel one it is timed against, against 64-bit sequential arithmetic."""

import torch

from reproduce.recipes.context import Context

from . import scan

LIMITS = {torch.float32: 1e-5, torch.bfloat16: 1e-3}  # RECIPES; bf16: beyond the rounding of the result
GROUPS, ROWS, CHANNELS, LENGTH, STATES = 2, 4, 6, 150, 16  # three chunks, the last one partly filled
ROUNDING = 2.0**-8


def check(context: Context) -> None:
    """Guards scan_fp32, scan_gradient, scan_bf16 and parallel_fp32: errors relative to the largest value."""
    given = inputs((GROUPS, ROWS, CHANNELS, LENGTH, STATES), context.device)
    exact, *exact_gradients = _pass(scan.sequential, [tensor.double() for tensor in given])
    found, *gradients = _pass(scan.selective_scan, given)
    limit = LIMITS[torch.float32]
    context.guard("scan_fp32", _relative(found, exact), limit, "The scan against 64 bits.")
    worst = max(_relative(*pair) for pair in zip(gradients, exact_gradients, strict=True))
    context.guard("scan_gradient", worst, limit, "Its gradients of x, dt, A, B and C, the same way.")
    halves = [tensor.bfloat16() if place != 2 else tensor for place, tensor in enumerate(given)]
    exact = scan.sequential(*(tensor.double() for tensor in halves))
    error = _relative(scan.selective_scan(*halves), exact) if context.device.type == "cuda" else 0.0
    context.guard(
        "scan_bf16",
        max(0.0, error - ROUNDING),
        LIMITS[torch.bfloat16],
        "The scan of bf16 inputs against 64 bits, beyond the rounding of its result; "
        "only the kernel on a GPU sums such inputs in fp32.",
    )
    exact = scan.sequential(*(tensor.double() for tensor in given))
    context.guard(
        "parallel_fp32", _relative(scan.parallel(*given), exact), limit, "The scan it is timed against."
    )


def inputs(
    sizes: tuple[int, int, int, int, int], device: torch.device, dtype: torch.dtype = torch.float32
) -> list[torch.Tensor]:
    """Random x, dt, A, B, C for (groups, rows, channels, length, states); steps and rates as in a model."""
    groups, rows, channels, length, states = sizes
    generator = torch.Generator(device).manual_seed(0)

    def normal(*size: int) -> torch.Tensor:
        return torch.randn(size, generator=generator, device=device)

    rates = -torch.arange(1, states + 1, device=device).float().repeat(groups, channels, 1)
    steps = torch.exp(normal(rows, channels, length) - 3)
    x, b, c = normal(rows, channels, length), normal(rows, length, states), normal(rows, length, states)
    return [x.to(dtype), steps.to(dtype), rates, b.to(dtype), c.to(dtype)]


def _pass(work: scan.Scan, given: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """The output, and the gradients of its weighted sum for every input."""
    given = [tensor.detach().requires_grad_() for tensor in given]
    out = work(*given)
    weights = torch.linspace(-1, 1, out.numel(), device=out.device, dtype=out.dtype).view_as(out)
    return (out, *torch.autograd.grad(out, given, weights))


def _relative(found: torch.Tensor, exact: torch.Tensor) -> float:
    return ((found - exact).abs().max() / exact.abs().max()).item()
