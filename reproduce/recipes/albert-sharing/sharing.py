"""What sharing means: the same features as equal layers apart, and a gradient that is the sum of theirs."""

from dataclasses import replace

import torch

from reproduce.recipes.blocks.zoo import Encoder, EncoderShape, materialise
from reproduce.recipes.context import Context

from .shapes import SHAPES

LAYERS, TOKENS = 4, 32  # enough to tell
LIMIT = 1e-9


def check(context: Context) -> None:
    """Guards features and gradient of the shared layer against layers apart, in 64 bits."""
    shape = replace(SHAPES[context["size"]]["albert"], layers=LAYERS)
    shared = materialise(lambda: Encoder(shape), context.device, torch.float64)
    apart = unshared(shared, shape)
    tokens = torch.randint(shape.vocabulary, (2, TOKENS), device=context.device)
    features = [model(tokens) for model in (shared, apart)]
    weigh = torch.randn_like(features[0])
    for found in features:
        (found * weigh).sum().backward()
    summed = sum(layer.attention.qkv.weight.grad for layer in apart.layers)
    _guard(context, "same_features", features[0], features[1], "Features, shared against equal layers apart")
    _guard(
        context,
        "gradient_is_the_sum",
        shared.layers[0].attention.qkv.weight.grad,
        summed,
        "Gradient of the shared layer's projections against the sum over layers apart",
    )


def unshared(model: Encoder, shape: EncoderShape) -> Encoder:
    """The same model whose layers each have a copy of the shared weights."""
    weights, device = model.state_dict(), next(model.parameters()).device
    apart = materialise(lambda: Encoder(replace(shape, shared=False)), device, torch.float64)
    apart.load_state_dict({name: weights[_shared_name(name)] for name in apart.state_dict()})
    return apart


def _shared_name(name: str) -> str:
    parts = name.split(".")
    return ".".join(["layers", "0", *parts[2:]]) if parts[0] == "layers" else name


def _guard(context: Context, name: str, found: torch.Tensor, expected: torch.Tensor, what: str) -> None:
    difference = ((found - expected).norm() / expected.norm()).item()
    context.guard(name, difference, LIMIT, f"{what}: relative difference in 64 bits.")
