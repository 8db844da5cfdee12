"""Starts of fleets: deviations by inputs, less into the residual stream, positions that are sinusoids."""

import pytest
import torch

from reproduce.recipes.blocks import fleet_starts
from reproduce.recipes.blocks.fleet import Fleet
from reproduce.recipes.blocks.tinygpt import Shape, sinusoids

SHAPE = Shape(layers=2, width=64, heads=2, length=24, positions="learned")


def test_starts_are_as_they_say():
    plain = Fleet(SHAPE, [0, 1], torch.device("cpu"), fleet_starts.manner(2))
    before = {name: weight.detach().clone() for name, weight in plain.weights().items()}
    found = {name: weight.detach() for name, weight in fleet_starts.place(plain).weights().items()}
    assert float(found["embedding"].std()) == pytest.approx(0.2, rel=0.05)
    assert float(found["qkv.0"].std()) == pytest.approx(64**-0.5, rel=0.05)
    assert float(found["down.1"].std()) == pytest.approx(256**-0.5 / 2, rel=0.05)
    waves = 0.3 * sinusoids(0, 24, 64, torch.device("cpu"))
    torch.testing.assert_close(found["places"], waves.expand(2, -1, -1))
    for name in found.keys() - {"places"}:
        assert torch.equal(found[name], before[name])
