"""Taking channels, heads and hidden units out of a decoder; it then computes what masking them would."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import nn

from reproduce.recipes.blocks.zoo import Decoder, DecoderLayer, DecoderShape, materialise
from reproduce.recipes.context import Context

LIMIT = 1e-9
TINY = DecoderShape(3, 64, 4, 96, 128, head_width=16)
Units = Mapping[int, tuple[Sequence[int], Sequence[int]]]  # layer -> heads and hidden units to keep


def without_channels(model: Decoder, kept: torch.Tensor) -> Decoder:
    """A copy that only has the channels `kept` (ids). Its norms divide by fewer channels."""
    pruned = copy.deepcopy(model)
    pruned.shape = replace(model.shape, width=len(kept))
    for module in pruned.modules():
        if isinstance(module, DecoderLayer):
            for reader in (module.attention.qkv, module.feed_forward.gate, module.feed_forward.up):
                _take(reader, kept, 1)
            for writer in (module.attention.out, module.feed_forward.down):
                _take(writer, kept, 0)
        elif isinstance(module, nn.RMSNorm):
            _take(module, kept, 0)
            module.normalized_shape = (len(kept),)
    _take(pruned.tokens, kept, 1)
    _take(pruned.head, kept, 1)
    return pruned


def without_units(model: Decoder, units: Units) -> Decoder:
    """A copy whose layers only have the heads and hidden units of `units`."""
    pruned = copy.deepcopy(model)
    for number, (heads, hidden) in units.items():
        layer, width = pruned.layers[number], model.shape.head_width
        places = torch.as_tensor(heads)[:, None] * width + torch.arange(width)
        inner = layer.attention.out.in_features
        rows = torch.cat([places.flatten() + part * inner for part in range(3)])
        _take(layer.attention.qkv, rows, 0)
        _take(layer.attention.out, places.flatten(), 1)
        layer.attention.split = [len(heads)] * 3
        for reader in (layer.feed_forward.gate, layer.feed_forward.up):
            _take(reader, torch.as_tensor(hidden), 0)
        _take(layer.feed_forward.down, torch.as_tensor(hidden), 1)
    return pruned


def _take(module: nn.Module, kept: torch.Tensor, dimension: int) -> None:
    weight = module.weight
    module.weight = nn.Parameter(weight.detach().index_select(dimension, kept.to(weight.device)).clone())
    if isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape


@torch.no_grad()
def check(context: Context) -> None:
    """Guards both ways of pruning against the whole model with zeros in their places, in 64 bits."""
    model = materialise(lambda: Decoder(TINY), context.device, torch.float64)
    tokens = torch.randint(TINY.vocabulary, (2, 12), device=context.device)
    kept = torch.arange(TINY.width)[torch.arange(TINY.width) % 5 > 0]
    units = {layer: ([0, 1, 3], range(0, TINY.hidden, 2)) for layer in range(1, TINY.layers)}
    _guard(context, "channels", without_channels(model, kept)(tokens), _masked_channels(model, kept)(tokens))
    _guard(context, "units", without_units(model, units)(tokens), _masked_units(model, units)(tokens))


def _guard(context: Context, name: str, found: torch.Tensor, expected: torch.Tensor) -> None:
    context.guard(
        f"pruned_is_masked_{name}",
        ((found - expected).norm() / expected.norm()).item(),
        LIMIT,
        f"Relative difference of the logits, {name} taken out against set to zero, in 64 bits.",
    )


def _masked_channels(model: Decoder, kept: torch.Tensor) -> Decoder:
    """The whole model that never writes the other channels; its norms divide by all, so they are scaled."""
    masked, gone = copy.deepcopy(model), torch.ones(model.shape.width, dtype=torch.bool)
    gone[kept] = False
    masked.tokens.weight[:, gone] = 0
    for layer in masked.layers:
        layer.attention.out.weight[gone] = 0
        layer.feed_forward.down.weight[gone] = 0
    for module in masked.modules():
        if isinstance(module, nn.RMSNorm):
            module.weight.mul_((len(kept) / model.shape.width) ** 0.5)
    return masked


def _masked_units(model: Decoder, units: Units) -> Decoder:
    """The whole model whose other heads and hidden units are not read."""
    masked, width = copy.deepcopy(model), model.shape.head_width
    for number, (heads, hidden) in units.items():
        layer = masked.layers[number]
        for head in set(range(model.shape.heads)) - set(heads):
            layer.attention.out.weight[:, head * width : (head + 1) * width] = 0
        gone = sorted(set(range(model.shape.hidden)) - set(hidden))
        layer.feed_forward.down.weight[:, gone] = 0
    return masked
