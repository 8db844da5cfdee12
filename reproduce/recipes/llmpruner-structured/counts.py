"""Parameters and MACs of Llama 7B and what is left of it, on the meta device, whatever shape is timed."""

from functools import partial

import torch

from reproduce.recipes.blocks import counting
from reproduce.recipes.blocks.zoo import DECODERS, Decoder
from reproduce.recipes.context import Context

from .shapes import Pruned, blocks, channels

TOKENS = 64
SHARE = 0.2


def count(context: Context) -> None:
    """Measures parameters and macs."""
    llama = DECODERS["llama-7b"]
    arms = {
        "whole": Pruned(llama),
        "channels": channels(llama, SHARE),
        "channels, not rounded": Pruned(channels(llama, SHARE, multiple=1).shape),
        "blocks": blocks(llama),
    }
    models = {name: counting.on_meta(pruned.build) for name, pruned in arms.items()}
    sizes = {name: counting.parameters(model) for name, model in models.items()}
    macs = {name: multiplications(model, TOKENS) for name, model in models.items()}
    for measure, counted in {"parameters": sizes, "macs": macs}.items():
        context.measure(
            measure,
            counted["channels"] / counted["whole"],
            detail={"counts": counted, "width": arms["channels"].shape.width},
        )


def multiplications(model: Decoder, tokens: int) -> float:
    """Multiply-adds of a forward pass, attention included, on the model's device."""
    ids = torch.zeros(1, tokens, dtype=torch.long, device=model.tokens.weight.device)
    with torch.no_grad():
        return counting.flop(partial(model, ids)) / 2
