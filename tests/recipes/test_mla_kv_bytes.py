"""Latent attention: the published bytes, six bits that come back, and absorption that changes nothing."""

import pytest
import torch

from tests.recipes.conftest import context_of, failed, part, value

SLUG = "mla-kv-bytes"
attention, cache, sixbits = (part(SLUG, name) for name in ("attention", "cache", "sixbits"))


def test_bytes_are_the_published_ones():
    context = context_of(SLUG)
    cache.measure(context)
    assert value(context, "bytes_gqa") == 389_120
    assert value(context, "bytes_mla") == 69_120
    assert value(context, "bytes_six_bits") == 25_920 + 2 * 60
    assert value(context, "bytes_mha") == 8 * 389_120
    assert value(context, "saving_deployed") == pytest.approx(0.9334, abs=1e-3)
    assert value(context, "saving_latent_alone") == pytest.approx(0.822, abs=1e-3)
    assert failed(context) == set()


def test_packing_is_three_bytes_for_four_codes():
    codes = torch.tensor([[1, 2, 3, 63]], dtype=torch.uint8)
    assert sixbits.pack(codes).tolist() == [[1 | 2 << 6, 3 << 4, 63 << 2]]
    every = torch.randint(64, (5, 576), dtype=torch.uint8)
    assert torch.equal(sixbits.unpack(sixbits.pack(every)), every)


def test_the_guards_see_a_lost_bit_and_a_wrong_scale(monkeypatch):
    context, x = context_of(SLUG), torch.randn(64, 576)
    assert 25 < sixbits.check(context, x) < 35 and failed(context) == set()
    honest = sixbits.unpack
    monkeypatch.setattr(sixbits, "unpack", lambda packed: honest(packed) & 62)
    sixbits.check(context, x)
    assert failed(context) == {"packing_is_lossless", "six_bits_keep_the_signal"}


def test_the_guard_sees_a_forgotten_rotary_part(monkeypatch):
    context = context_of(SLUG)
    attention.check(context)
    assert failed(context) == set()
    honest = attention.absorbed

    def forgets(layer, q, kept):
        return honest(layer, torch.cat((q[..., :128], 0 * q[..., 128:]), -1), kept)

    monkeypatch.setattr(attention, "absorbed", forgets)
    attention.check(context)
    assert failed(context) == {"absorbed_is_naive"}
