"""Parameters of both models on the meta device, and bytes of their gradients."""

from dataclasses import replace

import torch

from reproduce.recipes.blocks import counting
from reproduce.recipes.blocks.zoo import ENCODERS, Encoder, EncoderShape, Pretraining
from reproduce.recipes.context import Context

WORDS = 30_000  # of the paper's vocabulary, for both models
GRADIENT = torch.float32


def count(context: Context) -> None:
    """Measures parameters, parameters_published and gradient_bytes at the published shapes."""
    bert, albert = ENCODERS["bert-large"], ENCODERS["albert-large"]
    trained = [_of(Pretraining, replace(shape, vocabulary=WORDS)) for shape in (bert, albert)]
    published = [_of(Encoder, shape) for shape in (bert, albert)]
    for name, (large, small) in {"parameters": trained, "parameters_published": published}.items():
        context.measure(name, large / small, detail={"bert-large": large, "albert-large": small})
    bytes_of = [size * GRADIENT.itemsize for size in trained]
    context.measure(
        "gradient_bytes",
        bytes_of[1] / bytes_of[0],
        detail={"bert-large": bytes_of[0], "albert-large": bytes_of[1], "each": str(GRADIENT)},
    )


def _of(kind: type[torch.nn.Module], shape: EncoderShape) -> int:
    return counting.parameters(counting.on_meta(lambda: kind(shape)))
