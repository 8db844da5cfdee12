"""FNet: the mixing is the paper's, forward and backward, and guards notice when it is not."""

import pytest
import torch

from reproduce.recipes.blocks import counting
from tests.recipes.conftest import context_of, failed, part

SLUG = "fnet-speed"


def check():
    context = context_of(SLUG)
    shape = part(SLUG, "encoder").Shape(layers=2, width=32, vocabulary=64, length=48)
    part(SLUG, "correctness").check(context, shape, 48)
    return failed(context)


def test_every_way_of_mixing_is_the_definition():
    assert check() == set()


@pytest.mark.parametrize("size", [(6, 8), (5, 8), (6, 9), (7, 7)])
def test_half_a_spectrum_is_enough_for_even_and_odd_sizes(size):
    x = torch.randn(2, *size)
    assert torch.allclose(part(SLUG, "mixing").by_fft(x), torch.fft.fft2(x).real, atol=1e-4)


def test_a_transform_over_features_alone_fails(monkeypatch):
    monkeypatch.setattr(part(SLUG, "mixing"), "by_fft", lambda x: torch.fft.fft(x).real)
    assert check() == {"by_fft_output", "by_fft_gradient"}


def test_sines_that_are_added_fail(monkeypatch):
    mixing = part(SLUG, "mixing")
    right = mixing.waves
    monkeypatch.setattr(mixing, "waves", lambda size, dtype, device, sign=1: right(size, dtype, device))
    assert "by_products_output" in check()


def test_an_fnet_that_keeps_a_projection_fails(monkeypatch):
    encoder = part(SLUG, "encoder")
    monkeypatch.setattr(encoder, "attention_parameters", lambda shape: 0)
    monkeypatch.setattr(part(SLUG, "correctness"), "attention_parameters", lambda shape: 0)
    assert check() == {"same_but_attention"}


@pytest.mark.parametrize(("kind", "millions"), [("attention", 112), ("by_fft", 83)])
def test_sizes_are_those_of_the_paper(kind, millions):
    # Table 3 of the paper; ours lack the token types and the pooled output's layer.
    encoder = part(SLUG, "encoder")
    shape = encoder.Shape(layers=12, width=768, vocabulary=32_000, length=512)
    found = counting.parameters(counting.on_meta(lambda: encoder.Encoder(shape, kind)))
    assert found / 1e6 == pytest.approx(millions, rel=0.02)


@pytest.mark.parametrize("kind", ["attention", "by_products"])
def test_flop_of_the_formula_are_those_counted(kind):
    encoder = part(SLUG, "encoder")
    shape = encoder.Shape(layers=2, width=32, vocabulary=64, length=16)
    model = encoder.Encoder(shape, kind)
    tokens, masked = torch.randint(64, (3, 16)), torch.arange(4).expand(3, 4)

    def step():
        model.masked_loss(tokens, masked, tokens[:, :4]).backward()

    assert counting.flop(step) == encoder.product_flop(shape, kind, tokens=48, length=16, masked=12)


def test_held_out_texts_share_no_block_with_those_learnt_from():
    quality = part(SLUG, "quality")
    count = quality.CLASSES * quality.BLOCK * 20
    content = b"".join((at // quality.BLOCK % 251).to_bytes() for at in range(count))
    texts = quality.Texts.of(content, torch.device("cpu"))
    assert texts.train.shape[1:] == (18, quality.BLOCK)
    first = [set(part_[0, :, 0].tolist()) for part_ in (texts.train, texts.held_out)]
    assert first[0] | first[1] == set(range(20))
    assert first[0] & first[1] == set()
