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


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("kind", ["flash", "by_products"])
def test_small_models_start_with_tokens_positions_and_logits_of_like_size(kind, before):
    quality, encoder = part(SLUG, "quality"), part(SLUG, "encoder")
    model = quality.Learner(encoder.Shape(2, 64, 257, 32, before), kind, seed=0)
    tokens, places = (p.detach().std() for p in (model.encoder.tokens.weight, model.encoder.places.weight))
    assert 0.5 < tokens / places < 2
    with torch.no_grad():
        kinds, bytes_ = model(torch.randint(256, (4, 1 + 2 * 32)) % 16)
    assert 0.3 < bytes_.std() < 3
    assert kinds.shape == (4, quality.CLASSES)


def test_norms_before_leave_the_residual_as_it_is():
    encoder = part(SLUG, "encoder")
    block = encoder.Block(encoder.Shape(1, 16, 64, 8, before=True), torch.nn.Identity())
    torch.nn.init.zeros_(block.down.weight)
    torch.nn.init.zeros_(block.down.bias)
    x = 5 * torch.randn(2, 8, 16)
    assert torch.allclose(block(x) - x, block.norm_mixer(x), atol=1e-5)


def test_a_model_that_names_the_commonest_byte_alone_is_caught():
    quality, context = part(SLUG, "quality"), context_of(SLUG)
    context.preset = "full"
    texts = quality.Texts.of(bytes(range(256)) * 1024, torch.device("cpu"))
    good, bad = {"class": 0.5, "masked": 0.5}, {"class": 0.5, "masked": 1 / 256}
    quality.guard_learnt(context, texts, {"bert": {"runs": [good]}, "fnet": {"runs": [good]}})
    assert failed(context) == set()
    quality.guard_learnt(context, texts, {"bert": {"runs": [good, bad]}, "fnet": {"runs": [good]}})
    assert failed(context) == {"learnt_masked"}
