"""KIVI: packing, attention over the packed cache, what each axis is good for, and guards that notice a fault."""

import pytest
import torch

from reproduce.recipes.blocks import tinygpt
from reproduce.recipes.blocks.teacher import Teacher
from reproduce.recipes.blocks.text import Text
from tests.recipes.conftest import context_of, failed, part

cache, decoding, quality, layer = (
    part("kivi-kv2bit", name) for name in ("cache", "decoding", "quality", "layer")
)


@pytest.fixture
def untaught():
    shape = tinygpt.Shape(layers=2, width=64, heads=2, length=64)
    text = Text.from_bytes(bytes(range(256)) * 40, bytes(range(256)) * 4, torch.device("cpu"))
    return Teacher(tinygpt.TinyGPT(shape).requires_grad_(False), text, text.held_out(20, 64))


def drawn():
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, 3, 160, 64, generator=generator).half() for _ in range(2)]


def test_keys_share_a_scale_per_channel_and_values_per_token():
    keys, values = drawn()
    kept = cache.Cache2.of(keys, values, 32)
    found = kept.restored()
    for true, new, axis in ((keys, found[0], 2), (values, found[1], 3)):
        old = new[:, :, :128].unflatten(axis, (-1, 32))
        assert max(len(group.unique()) for group in old.movedim(axis + 1, -1).flatten(0, -2)[:200]) <= 4
        spread = true[:, :, :128].float().unflatten(axis, (-1, 32))
        step = (spread.amax(axis + 1) - spread.amin(axis + 1)) / 3
        assert ((old - spread).abs() <= 0.51 * step.unsqueeze(axis + 1) + 2e-3).all()
        assert torch.equal(new[:, :, 128:], true[:, :, 128:].float())


def test_three_bits_an_element_and_more_sequences_of_the_same():
    kept = cache.Cache2.of(*drawn(), 32)
    assert kept.bits == 3.0
    many = kept.repeated(5)
    assert many.bytes == kept.bytes * 5 / 2
    assert torch.equal(many.restored()[0][4], kept.restored()[0][0])


def test_words_hold_channels_as_the_kernel_reads_them():
    keys, values = (part[:, :, :32] for part in drawn())
    key_words, key_grid, value_words, _ = cache.rounded(keys, values)
    kept = cache.Cache2(*cache.rounded(keys, values), keys[:, :, :0], values[:, :, :0])
    found, place, word = kept.restored(), torch.arange(16)[:, None], torch.arange(4)[None, :]
    scale, offset = key_grid.view(torch.float16)[0, 0, 0].float().view(-1, 2).T  # the low half comes first
    channel = place * 4 + word
    code = (key_words[0, 0, 5][word] >> (2 * place)) & 3
    assert torch.equal(code * scale[channel] + offset[channel], found[0][0, 0, 5][channel])
    codes = (value_words[0, 0, 5][:, None] >> (2 * torch.arange(16))) & 3
    order = found[1][0, 0, 5].view(4, 16).argsort(1)
    assert (codes.gather(1, order).diff(dim=1) >= 0).all() and codes.unique().numel() == 4


@pytest.mark.parametrize("wrong", [None, "scale", "recent"])
def test_the_guards_notice_a_wrong_scale_or_window(wrong, monkeypatch):
    if wrong == "scale":
        monkeypatch.setattr(cache, "_codes", lambda words, true=cache._codes: true(words) * 1.01)
    if wrong == "recent":
        monkeypatch.setattr(decoding, "Cache2", _Forgetful)
    context = context_of("kivi-kv2bit")
    decoding.guard(context, layer.SIZES["smoke"])
    assert (
        failed(context)
        == {None: set(), "scale": {"attention"}, "recent": {"attention", "recent_exact"}}[wrong]
    )


class _Forgetful:
    @staticmethod
    def of(keys, values, recent):
        return cache.Cache2.of(keys, values.flip(2), recent)


def test_a_channel_with_outliers_spoils_the_others_only_if_they_share_its_scale():
    x = torch.randn(1, 2, 64, 64, generator=torch.Generator().manual_seed(2))
    x[..., 5] *= 20
    others = torch.arange(64) != 5
    wrong = {axis: (quality.round_along(x, axis) - x)[..., others].norm() for axis in ("channel", "token")}
    assert wrong["channel"] < 0.7 * wrong["token"]


def test_the_models_guard_passes_and_notices_a_window_one_token_short(untaught, monkeypatch):
    context = context_of("kivi-kv2bit")
    quality.guard(context, untaught)
    assert failed(context) == set()
    true = quality.with_cache
    monkeypatch.setattr(quality, "with_cache", lambda model, k, v, recent: true(model, k, v, recent - 1))
    quality.guard(context, untaught)
    assert failed(context) == {"all_recent_same"}


def test_the_bytes_of_llama_2_7b():
    assert layer.SIZES["full"].weight_bytes / 2 == 6_738_415_616
