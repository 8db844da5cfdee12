"""Time of the parallel form, forward and backward, over sequence lengths: what training would cost."""

import torch

from reproduce.recipes.context import Context, curve
from reproduce.recipes.intervals import slope
from reproduce.recipes.toolbox import KERNEL, compare, profile

from . import wkv


def measure(context: Context) -> None:
    """Measures scan_exponent, not scored: a scan of log2(n) passes is not the paper's CUDA kernel."""
    lengths, medians = sorted(context["scan_lengths"]), []
    for length in lengths:
        work = _both(context, length)
        how = profile(context.preset, KERNEL, max_s=0.5, min_rounds=10)
        found = compare({"scan": work}, "scan", how, context.device, again=False)
        context.samples[f"scan, {length} tokens"] = dict(found.samples)
        medians.append(found.median("scan"))
    context.measure(
        "scan_exponent",
        slope(lengths, [median.value for median in medians]),
        predicted=1.0,
        predicted_note="Linear in the length, but for the number of passes, log2 of it.",
    )
    context.chart(
        "scan",
        "Time of the parallel form, forward and backward, one sequence and layer",
        ("Sequence length", "tokens", True),
        ("Time", "ms", True),
        [curve("scan", lengths, medians)],
    )


def _both(context: Context, length: int) -> object:
    width, device = context["width"], context.device
    k, v = (torch.randn(1, length, width, device=device, requires_grad=True) for _ in range(2))
    w = torch.exp(torch.linspace(-5, 1, width, device=device)).requires_grad_()
    u = torch.randn(width, device=device, requires_grad=True)
    state, gradient = wkv.empty(1, width, torch.float32, device), torch.randn(1, length, width, device=device)
    return lambda call: torch.autograd.grad(wkv.scan(k, v, w, u, state)[0], (k, v, w, u), gradient)
