"""Whether packed sequences see each other: losses against padded rows, and the kernel against 64 bits."""

import torch

from reproduce.recipes.blocks.zoo import ENCODERS, Pretraining, materialise, scaled_dot
from reproduce.recipes.context import Context

from . import attention, training
from .batches import Sequences
from .packing import PADDING

PACKS = 4
LOSS_LIMIT = 1e-3  # RECIPES, section 11
KERNEL_LIMIT = {True: 1e-2, False: 1e-5}  # half precision or not


@torch.no_grad()
def check(context: Context) -> None:
    """Guards losses and pooled features, packed against padded in fp32, and the kernel that is timed."""
    sequences = training.drawn(context, PADDING, PACKS)
    shape = ENCODERS[context["model"]]
    model = materialise(lambda: Pretraining(shape), context.device, torch.float32)
    packed = (sequences.packed, attention.inside(sequences.packed, half=False))
    padded = (sequences.padded, attention.under_padding_mask(sequences.padded))
    found, expected = (training.losses(model, sequences, *layout) for layout in (packed, padded))
    context.guard(
        "loss_of_each_sequence",
        ((found - expected).abs() / expected).max().item(),
        LOSS_LIMIT,
        f"Largest relative difference of {len(sequences.lengths)} sequences, packed against padded, in fp32.",
    )
    found, expected = (_features(model, *layout) for layout in (packed, padded))
    context.guard(
        "features_of_masked_tokens",
        ((found - expected).norm() / expected.norm()).item(),
        LOSS_LIMIT,
        "Relative difference of the features that predict words, packed against padded, in fp32.",
    )
    _check_kernel(context, sequences, shape.heads, shape.width // shape.heads)


def _features(model: Pretraining, layout: object, attend: attention.Attend) -> torch.Tensor:
    return model.encoder(layout.tokens, attend, layout.places).flatten(0, 1)[layout.masked]


def _check_kernel(context: Context, sequences: Sequences, heads: int, width: int) -> None:
    """The attention that is timed, in its precision, against each sequence alone in 64 bits."""
    half = context.device.type == "cuda"
    rows, length = sequences.packed.tokens.shape
    q, k, v = (torch.randn(rows, heads, length, width, device=context.device) for _ in range(3))
    if half:
        q, k, v = q.bfloat16(), k.bfloat16(), v.bfloat16()
    found = _in_line(attention.inside(sequences.packed, half)(q, k, v)).double()
    expected, line = torch.empty_like(found), [_in_line(x).double() for x in (q, k, v)]
    start = 0
    for size in sequences.packed.segments:
        alone = [x[start : start + size].transpose(0, 1)[None] for x in line]
        expected[start : start + size] = scaled_dot(*alone)[0].transpose(0, 1)
        start += size
    context.guard(
        "kernel_keeps_apart",
        ((found - expected).norm() / expected.norm()).item(),
        KERNEL_LIMIT[half],
        "Relative error of packed attention against every sequence alone in 64 bits.",
    )


def _in_line(x: torch.Tensor) -> torch.Tensor:
    """(rows, heads, length, width) to (rows * length, heads, width)."""
    return x.transpose(1, 2).flatten(0, 1)
