"""Smoothing itself, and static int8 layers, on a small model. Channels are those of a layer's inputs."""

import copy

import torch
from torch import nn

from reproduce.recipes.blocks.int8 import TOP, product
from reproduce.recipes.blocks.quantizing import symmetric
from reproduce.recipes.blocks.teacher import linears, replace
from reproduce.recipes.blocks.tinygpt import TinyGPT

ALPHA = 0.5  # how much of the difficulty moves to the weights: arXiv:2211.10438, section 4


def largest_inputs(model: TinyGPT, tokens: torch.Tensor) -> dict[str, torch.Tensor]:
    """(inputs,) of each layer: the largest magnitude of each channel while the model reads the tokens."""
    found: dict[str, torch.Tensor] = {}

    def look(name: str, given: torch.Tensor) -> None:
        seen = given.flatten(0, -2).abs().amax(0)
        found[name] = torch.maximum(found[name], seen) if name in found else seen

    layers = list(linears(model))
    hooks = [
        layer.register_forward_pre_hook(lambda _, given, name=name: look(name, given[0]))
        for name, layer in layers
    ]
    with torch.no_grad():
        for part in tokens.split(16):
            model(part)
    for hook in hooks:
        hook.remove()
    return found


def smooth(model: TinyGPT, tokens: torch.Tensor) -> TinyGPT:
    """A copy that computes the same: max|x|^a / max|w|^(1-a) moves from the norms to the next weights."""
    smoothed, inputs = copy.deepcopy(model), largest_inputs(model, tokens)
    for index, block in enumerate(smoothed.blocks):
        mixer, forward = block.mixer, block.feed_forward
        for norm, name, followers in (
            (block.norm_mixer, "mixer.query", (mixer.query, mixer.key, mixer.value)),
            (block.norm_forward, "feed_forward.up", (forward.up,)),
        ):
            weights = torch.stack([layer.weight.abs().amax(0) for layer in followers]).amax(0)
            moved = (inputs[f"{index}.{name}"] ** ALPHA / weights ** (1 - ALPHA)).clamp_min(1e-5)
            norm.weight.div_(moved)
            for layer in followers:
                layer.weight.mul_(moved)
    return smoothed


class Static8(nn.Module):
    """A linear layer in int8 with one scale for its weights and one, known beforehand, for its inputs."""

    def __init__(self, weight: torch.Tensor, largest: torch.Tensor) -> None:
        super().__init__()
        grid = symmetric(weight, 8, (0, 1))
        self.codes, self.scale, self.of_x = grid.codes(weight).to(torch.int8), grid.scale, largest / TOP

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        codes = torch.round(x.flatten(0, -2) / self.of_x).clamp(-TOP, TOP).to(torch.int8)
        return (product(codes, self.codes) * (self.scale * self.of_x)).unflatten(0, x.shape[:-1])


def in_int8(model: TinyGPT, tokens: torch.Tensor) -> TinyGPT:
    """A copy whose layers are in int8, scales calibrated on the tokens."""
    changed, inputs = copy.deepcopy(model), largest_inputs(model, tokens)
    for name, layer in list(linears(changed)):
        replace(changed, name, Static8(layer.weight, inputs[name].max()))
    return changed
