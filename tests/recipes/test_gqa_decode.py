"""Grouped queries: conversion by means, grouping as repetition, a shared cache that is exactly smaller."""

import pytest
import torch

from reproduce.recipes.blocks.decoding import KeyValues
from reproduce.recipes.blocks.tinygpt import Shape, TinyGPT
from tests.recipes.conftest import context_of, failed, part

SLUG = "gqa-decode"
conversion, decode, exactness, uptraining = (
    part(SLUG, name) for name in ("conversion", "decode", "exactness", "uptraining")
)
CPU = torch.device("cpu")


def test_conversion_takes_the_mean_and_the_first_of_neighbouring_heads():
    weights = torch.arange(4.0).repeat_interleave(2)[:, None].expand(8, 3)  # head h holds h, head width 2
    assert conversion.mean(weights, 4, 2)[:, 0].tolist() == [0.5, 0.5, 2.5, 2.5]
    assert conversion.first(weights, 4, 2)[:, 0].tolist() == [0, 0, 2, 2]
    assert conversion.at_random(weights, 4, 1).shape == (2, 3)


def test_the_guards_see_a_conversion_that_is_slightly_off(monkeypatch):
    context = context_of(SLUG)
    exactness.check(context)
    assert failed(context) == set()
    honest = conversion.mean
    monkeypatch.setattr(conversion, "mean", lambda *given: 1.01 * honest(*given))
    exactness.check(context)
    assert failed(context) == {"as_many_groups_as_heads"}


def test_the_guard_sees_heads_in_the_wrong_order(monkeypatch):
    context = context_of(SLUG)

    def interleaved(backend):
        def attend(q, k, v):
            k, v = (x.repeat(1, q.shape[1] // x.shape[1], 1, 1) for x in (k, v))
            return torch.nn.functional.scaled_dot_product_attention(q, k, v)

        return attend

    monkeypatch.setattr(exactness, "fused", interleaved)
    exactness.check(context)
    assert "grouped_is_repeated" in failed(context)


def test_equal_heads_in_a_group_convert_without_loss():
    model = TinyGPT(Shape(1, 32, 4, 16))
    for name in ("key", "value"):
        linear = getattr(model.blocks[0].mixer, name)
        linear.weight.data = linear.weight.data.view(2, 2, 8, 32)[:, :1].repeat(1, 2, 1, 1).view(32, 32)
    tokens = torch.randint(256, (2, 16))
    for convert in (conversion.mean, conversion.first):
        torch.testing.assert_close(uptraining.converted(model, 2, convert, 0)(tokens), model(tokens))


def test_a_decode_stack_converts_without_loss_if_all_its_heads_are_equal():
    context = context_of(SLUG, layers=1)
    full = decode.Stack.random(decode.shape_of(context, 8), 3, 4, torch.float64, CPU)
    full.memories = []
    q, k, v = full.layers[0]["qkv"].split(512, dim=1)
    full.layers[0]["qkv"] = torch.cat((q, k[:, :64].repeat(1, 8), v[:, :64].repeat(1, 8)), dim=1)
    for cache in (full.caches[0].keys, full.caches[0].values):
        cache.copy_(cache[:, :1].expand_as(cache))
    few = decode.converted(full, 2)
    few.caches = [KeyValues(full.caches[0].keys[:, :2].clone(), full.caches[0].values[:, :2].clone())]
    x = torch.randn(3, 512, dtype=torch.float64)
    torch.testing.assert_close(few.step(x, 3), full.step(x, 3))


def test_bytes_at_the_papers_shape_limit_the_gain():
    context = context_of(SLUG, layers=24, heads=64, source=2048, length=512)
    shapes = {arm: decode.shape_of(context, heads) for arm, heads in decode.arms_of(context).items()}
    moved = {arm: shape.step_bytes(48, 256) for arm, shape in shapes.items()}
    assert decode.arms_of(context) == {"MHA": 64, "GQA-8": 8, "MQA": 1}
    assert 3 < moved["MHA"] / moved["GQA-8"] < 4 and moved["MHA"] / moved["MQA"] < 6
    assert shapes["MHA"].weights == pytest.approx(5.5e9, rel=0.05)
