"""Bytes of BLOOM-176B's weights in 16 bits and in int8, counted on the meta device."""

import torch

from reproduce.recipes.context import Context
from reproduce.recipes.memory import tensor_bytes

LAYERS, WIDTH, VOCABULARY = 70, 14_336, 250_880


def count(context: Context) -> None:
    """Measures weight_bytes: 16-bit divided by int8; embedding and vectors have 16 bits on both sides."""
    wide, narrow = (tensor_bytes(model(kind)) for kind in (torch.float16, torch.int8))
    context.measure(
        "weight_bytes",
        wide / narrow,
        predicted=2.0,
        predicted_note="If every weight went from two bytes to one.",
        detail={"bytes_16_bit": wide, "bytes_int8": narrow, "layers": LAYERS, "width": WIDTH},
    )


def model(kind: torch.dtype) -> list[torch.Tensor]:
    """BLOOM's weights with its matrices in `kind`; int8 ones have an fp32 scale for each output."""
    shapes = [(3 * WIDTH, WIDTH), (WIDTH, WIDTH), (4 * WIDTH, WIDTH), (WIDTH, 4 * WIDTH)] * LAYERS
    outputs = [outputs for outputs, _ in shapes]
    vectors = [*outputs, *[WIDTH] * (4 * LAYERS + 4)]  # biases, and the norms' gains and biases
    made = [torch.empty(shape, dtype=kind, device="meta") for shape in shapes]
    made += [torch.empty(size, dtype=torch.float16, device="meta") for size in vectors]
    made.append(torch.empty(VOCABULARY, WIDTH, dtype=torch.float16, device="meta"))
    if kind == torch.int8:
        made += [torch.empty(size, dtype=torch.float32, device="meta") for size in outputs]
    return made
