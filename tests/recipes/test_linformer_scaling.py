"""Linformer: the layer is full attention where it should be, and guards notice when it is not."""

import pytest
import torch

from reproduce.recipes.blocks import counting
from tests.recipes.conftest import context_of, failed, part

SLUG = "linformer-scaling"
EVERY = {"identity_eager", "identity_eager_in_pieces", "identity_fused"}


def check():
    context = context_of(SLUG)
    with torch.no_grad():
        part(SLUG, "quality").identity(context)
    return failed(context)


def test_identity_projections_are_full_attention():
    assert check() == set()


def test_a_projection_one_percent_off_fails(monkeypatch):
    layers = part(SLUG, "layers")
    right = layers.projected
    monkeypatch.setattr(layers, "projected", lambda shorten, x: right(1.01 * shorten, x))
    assert check() == EVERY


def test_keys_and_values_exchanged_fail(monkeypatch):
    layers = part(SLUG, "layers")
    monkeypatch.setattr(layers, "projected", lambda shorten, x: (x, x.flip(1)))
    assert check() == EVERY


def test_pieces_of_the_queries_change_nothing(monkeypatch):
    layers = part(SLUG, "layers")
    q, k, v = (torch.randn(2, 3, 10, 4, dtype=torch.float64) for _ in range(3))
    monkeypatch.setattr(layers, "CHUNK", 2 * 3 * 4 * 10 * 8)
    assert torch.allclose(layers.eager_in_pieces(q, k, v), layers.eager(q, k, v), atol=1e-14)


@pytest.mark.parametrize("rank", [0, 8])
def test_flop_of_the_formula_are_those_counted(rank):
    layers = part(SLUG, "layers")
    sizes = layers.Sizes(width=32, heads=2)
    layer = layers.Layer(sizes, layers.SelfAttention(sizes, layers.eager, 24, rank))
    assert counting.flop(lambda: layer(torch.randn(1, 24, 32))) == layers.layer_flop(sizes, 24, rank)


def test_a_projection_first_or_last_gives_the_same_keys():
    layers = part(SLUG, "layers")
    sizes = layers.Sizes(width=16, heads=2)
    attention = layers.SelfAttention(sizes, layers.eager, 12, 4).double()
    x = torch.randn(1, 12, 16, dtype=torch.float64)
    first = attention.key(layers.projected(attention.shorten, x)[0])
    assert torch.allclose(first, attention.shorten[0] @ attention.key(x), atol=1e-13)


def test_only_hidden_bytes_count():
    quality = part(SLUG, "quality")
    batch = quality.hide(torch.randint(256, (4, 64)), torch.Generator().manual_seed(0))
    shown, wanted = batch.chunk(2, dim=1)

    def knows_what_is_hidden(ids):
        return torch.nn.functional.one_hot(wanted * (ids == quality.MASK), 257) * 100.0

    assert 0 < (shown == quality.MASK).float().mean() < 0.3
    assert quality.masked_loss(knows_what_is_hidden, batch) < 1e-6


def test_projections_start_as_the_mean_of_neighbours():
    quality = part(SLUG, "quality")
    x = torch.randn(12, 3)
    means = x.view(4, 3, 3).mean(1)
    assert torch.allclose(quality.pooling(4, 12) @ x, means * 3**0.5, atol=1e-6)
    shape = quality.Shape(1, 32, 2, 12, vocabulary=257, norm="layer", positions="learned", tied=False)
    model = quality.made(shape, rank=4, seed=0)
    shorten = model.blocks[0].mixer.shorten.detach()
    assert (shorten - quality.pooling(4, 12)).abs().max() < 0.15
    assert model(torch.randint(257, (2, 12))).shape == (2, 12, 257)
