"""Planted outliers: large where they should be, and the model computes what it did."""

import pytest
import torch

from reproduce.recipes.blocks import outliers
from reproduce.recipes.blocks.tinygpt import Shape, TinyGPT

SHAPE = Shape(layers=2, width=64, heads=2, length=32)


@pytest.fixture
def model():
    made = TinyGPT(SHAPE, seed=3)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(3.0 if parameter.dim() > 1 else 1.0)
    return made


TOKENS = torch.randint(256, (4, 32), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("plant", [outliers.plant, outliers.plant_in_keys])
@pytest.mark.parametrize("gain", [20.0, 300.0])
def test_the_logits_are_unchanged(model, plant, gain):
    planted = plant(model, gain, 4, seed=1)
    assert 0 < outliers.difference(model, planted, TOKENS) <= outliers.UNCHANGED


def test_the_inputs_of_the_next_layer_hold_the_outliers(model):
    planted = outliers.plant(model, 60.0, 4, seed=1)
    channels = outliers.channels_of(64, 4, 1)
    seen = {}
    hooks = [
        made.blocks[1].feed_forward.up.register_forward_pre_hook(
            lambda module, given, key=key: seen.update({key: given[0].detach()})
        )
        for key, made in {"before": model, "after": planted}.items()
    ]
    for made in (model, planted):
        made(TOKENS)
    for hook in hooks:
        hook.remove()
    ratio = seen["after"].abs().amax((0, 1)) / seen["before"].abs().amax((0, 1))
    assert torch.allclose(ratio[channels], torch.tensor(60.0), rtol=1e-3)
    assert (ratio > 2).sum() == 4


def test_half_a_planting_is_noticed(model):
    planted = outliers.plant(model, 60.0, 4, seed=1)
    with torch.no_grad():
        planted.blocks[0].norm_mixer.weight[outliers.channels_of(64, 4, 1)[0]] /= 60.0
    assert outliers.difference(model, planted, TOKENS) > outliers.UNCHANGED


def test_keys_alone_grow(model):
    planted = outliers.plant_in_keys(model, 10.0, 4, seed=2)
    ratio = planted.blocks[0].mixer.key.weight / model.blocks[0].mixer.key.weight
    assert sorted(set(ratio[:, 0].round().tolist())) == [1.0, 10.0]
    assert (ratio[:, 0].round() == 10).sum() == 4 * SHAPE.heads
