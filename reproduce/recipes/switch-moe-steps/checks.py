"""Guards: one expert is a dense layer, many experts compute what a loop over tokens would."""

import torch
from torch.nn import functional

from reproduce.recipes.blocks.tinygpt import FeedForward, Shape
from reproduce.recipes.context import Context

from . import experts

LIMIT = 1e-9
SHAPE = Shape(layers=2, width=16, heads=2, length=32)


def one_expert_is_dense(context: Context) -> None:
    """In float64, with the same weights. Guards equals_dense and equals_loop."""
    x = torch.randn(3, 20, SHAPE.width, dtype=torch.float64, device=context.device)
    single = _made(experts.Switch(SHAPE, 1), context)
    dense = FeedForward(SHAPE).to(context.device, torch.float64)
    with torch.no_grad():
        dense.up.weight.copy_(single.up[0].T)
        dense.down.weight.copy_(single.down[0].T)
        context.guard(
            "equals_dense",
            (single(x) - dense(x)).abs().max().item(),
            LIMIT,
            "Largest difference of a Switch layer with one expert to the dense layer with its weights.",
        )
        many = _made(experts.Switch(SHAPE, 4, capacity=1.0), context)
        expected = by_token(many, x.flatten(0, 1)).view(x.shape)
        context.guard(
            "equals_loop",
            (many(x) - expected).abs().max().item(),
            LIMIT,
            "Largest difference of four experts with capacity factor 1 to a loop over the tokens in order.",
        )


def _made(layer: experts.Switch, context: Context) -> experts.Switch:
    layer = layer.to(context.device, torch.float64).eval()  # no jitter
    with torch.no_grad():
        layer.router.weight.normal_()
        layer.up.normal_()
        layer.down.normal_()
    return layer


def by_token(layer: experts.Switch, tokens: torch.Tensor) -> torch.Tensor:
    """(T, w): token after token, as the paper defines it; beyond an expert's room a token yields zero."""
    chances = functional.linear(tokens.float(), layer.router.weight.float()).softmax(-1)
    taken, found = [0] * layer.experts, []
    for token, chance in zip(tokens, chances, strict=True):
        best = int(chance.argmax())
        taken[best] += 1
        if taken[best] > layer.room(len(tokens)):
            found.append(torch.zeros_like(token))
            continue
        hidden = functional.gelu(token @ layer.up[best])
        found.append(hidden @ layer.down[best] * chance[best].to(token.dtype))
    return torch.stack(found)
