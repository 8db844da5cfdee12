"""Outlier features planted without changing what a model computes: small models grow none of their own.

A norm's gain x m on a few channels, the next weights' columns / m (RECIPES, A.7); keys x m, queries / m.
"""

import copy

import torch

from reproduce.recipes.blocks.tinygpt import TinyGPT

VERSION = 1
UNCHANGED = 1e-5  # largest relative difference of the logits


def plant(model: TinyGPT, gain: float, count: int, seed: int) -> TinyGPT:
    """A copy whose inputs of q, k, v and of the feed-forward are `gain` times larger on `count` channels.

    The channels are drawn by `seed` and the same in every layer, as in large models (arXiv:2208.07339).
    """
    planted = copy.deepcopy(model)
    channels = channels_of(model.shape.width, count, seed)
    with torch.no_grad():
        for block in planted.blocks:
            mixer = block.mixer
            for norm, followers in (
                (block.norm_mixer, (mixer.query, mixer.key, mixer.value)),
                (block.norm_forward, (block.feed_forward.up,)),
            ):
                norm.weight[channels] *= gain
                for linear in followers:
                    linear.weight[:, channels] /= gain
    return planted


def plant_in_keys(model: TinyGPT, gain: float, count: int, seed: int) -> TinyGPT:
    """A copy whose keys are `gain` times larger on `count` channels of each head; queries shrink as much.

    Both channels that rotary positions mix are scaled, so `count` is even.
    """
    planted = copy.deepcopy(model)
    half = model.shape.head_width // 2
    chosen = channels_of(half, count // 2, seed)
    inside = torch.cat((chosen, chosen + half))
    with torch.no_grad():
        for block in planted.blocks:
            for linear, factor in ((block.mixer.key, gain), (block.mixer.query, 1 / gain)):
                linear.weight.view(-1, model.shape.head_width, linear.in_features)[:, inside] *= factor
    return planted


def channels_of(width: int, count: int, seed: int) -> torch.Tensor:
    """(count,) different channels."""
    return torch.randperm(width, generator=torch.Generator().manual_seed(seed))[:count]


def difference(model: TinyGPT, planted: TinyGPT, tokens: torch.Tensor) -> float:
    """Largest difference of the logits in fp32, relative to the largest logit."""
    with torch.no_grad():
        before, after = model(tokens), planted(tokens)
    return ((before - after).abs().max() / before.abs().max()).item()
