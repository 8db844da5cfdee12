"""checkpoint-sqrt: recomputation changes no gradient, and memory grows as the algorithm says."""

import math
from functools import partial

import pytest
import torch

from reproduce.recipes.intervals import slope
from reproduce.recipes.memory import peak_bytes
from tests.recipes.conftest import context_of, failed, part

SLUG = "checkpoint-sqrt"
chains, checkpointing, gradients = (part(SLUG, name) for name in ("chains", "checkpointing", "gradients"))


def test_no_bit_of_a_gradient_changes_and_a_layer_runs_twice_at_most():
    context = context_of(SLUG)
    gradients.check(context)
    assert len(context.guards) == 5
    assert failed(context) == set()


def test_the_guard_notices_a_layer_that_recomputation_skips(monkeypatch):
    whole = checkpointing.segments

    def without_one(layers):
        found = whole(layers)
        return [found[0][1:], *found[1:]] if len(layers) == gradients.BLOCKS else found

    monkeypatch.setattr(checkpointing, "segments", without_one)
    context = context_of(SLUG)
    gradients.check(context)
    assert failed(context) == {"same_gradients_every_sqrt_transformer"}


def test_the_guard_notices_a_third_forward_pass(monkeypatch):
    plain = checkpointing.plain

    def wasteful(layers, x):
        plain(layers, x)
        return plain(layers, x)

    monkeypatch.setattr(checkpointing, "plain", wasteful)
    context = context_of(SLUG)
    gradients.check(context)
    assert failed(context) == {"one_more_forward"}


@pytest.mark.parametrize("count", [1, 2, 10, 100, 1000])
def test_segments_hold_every_layer_once_in_order(count):
    found = checkpointing.segments(list(range(count)))
    assert [layer for segment in found for layer in segment] == list(range(count))
    assert max(map(len, found)) == math.ceil(math.sqrt(count))


def test_memory_of_recursion_grows_more_slowly_than_that_of_segments():
    x = torch.randn(1, 16, 64)
    sizes = {"every_sqrt": [], "recursive": [], "plain": []}
    for depth in (9, 36):
        layers = chains.transformer(depth, 64, 16, x.device)
        for name, found in sizes.items():
            way = getattr(checkpointing, name)
            found.append(peak_bytes(partial(checkpointing.step, way, layers, x, x), x.device))
    grown = {name: slope([9, 36], found).value for name, found in sizes.items()}
    assert grown["recursive"] < 0.35 < grown["every_sqrt"] < 0.6 < 0.9 < grown["plain"]
