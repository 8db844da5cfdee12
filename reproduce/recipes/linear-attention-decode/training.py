"""Forward and backward of attention alone over lengths: linear in chunks, softmax written out and fused."""

import torch
from torch.nn import functional

from reproduce.recipes.context import Context, curve
from reproduce.recipes.intervals import Interval, slope
from reproduce.recipes.memory import peak_bytes
from reproduce.recipes.toolbox import KERNEL, Work, compare, profile, release

from . import forms, models

HEADS, WIDTH = 8, 64
LIMIT = 4096  # longest sequence of attention written out: its memory is quadratic


def written_out(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Causal softmax attention operation by operation."""
    unseen = torch.ones(q.shape[2], q.shape[2], dtype=torch.bool, device=q.device).triu(1)
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    return torch.softmax(scores.masked_fill_(unseen, float("-inf")), dim=-1) @ v


def fused(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Causal softmax attention by PyTorch's fused kernel."""
    return functional.scaled_dot_product_attention(q, k, v, is_causal=True)


WAYS = {"linear": forms.chunked, "softmax": written_out, "softmax, fused": fused}


def measure(context: Context) -> None:
    """Measures the exponents of training time for each way, and of memory for linear attention."""
    lengths = sorted(context["train_lengths"])
    times: dict[str, list[tuple[int, Interval]]] = {way: [] for way in WAYS}
    held = []
    for length in lengths:
        works = {way: _both(context, way, length) for way in WAYS if way != "softmax" or length <= LIMIT}
        how = profile(context.preset, KERNEL, warm_up_calls=2, max_s=0.6, min_rounds=10)
        found = compare(works, "linear", how, context.device, again=False)
        context.samples[f"training, {length} tokens"] = dict(found.samples)
        for way in works:
            times[way].append((length, found.median(way)))
        held.append(peak_bytes(lambda work=works["linear"]: work(0), context.device))
        works.clear()
        release(context.device)
    for name, way, expected in (
        ("training_exponent", "linear", 1.0),
        ("training_exponent_softmax", "softmax", 2.0),
        ("training_exponent_fused", "softmax, fused", 2.0),
    ):
        at, medians = zip(*times[way], strict=True)
        context.measure(
            name,
            slope(at, [median.value for median in medians]),
            predicted=expected,
            predicted_note="By the algorithm's arithmetic.",
            detail={"milliseconds": {str(n): m.value for n, m in times[way]}},
        )
    context.measure(
        "training_memory_exponent", slope(lengths, held), predicted=1.0, predicted_note="By the algorithm."
    )
    context.chart(
        "training",
        "Forward and backward of attention, 8 heads of width 64",
        ("Sequence length", "tokens", True),
        ("Time", "ms", True),
        [curve(way, *zip(*points, strict=True)) for way, points in times.items()],
    )


def _both(context: Context, way: str, length: int) -> Work:
    size, device = (8 if context.full else 1, HEADS, length, WIDTH), context.device
    made = [torch.randn(size, dtype=models.dtype_of(device), device=device) for _ in range(4)]
    q, k, v = (tensor.requires_grad_() for tensor in made[:3])
    return lambda call: torch.autograd.grad(WAYS[way](q, k, v), (q, k, v), made[3])
