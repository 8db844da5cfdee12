"""Attention with ALiBi against the paper's formula, and what the ratios are made from."""

import math

import pytest
import torch

from reproduce.recipes.blocks.tinygpt import sinusoids
from tests.recipes.conftest import context_of, failed, part

SLUG = "alibi-extrapolation"


def guarded():
    context = context_of(SLUG)
    part(SLUG, "attention").check(context)
    return failed(context)


@pytest.fixture(autouse=True)
def fresh():
    """No bias is left from another test."""
    clear = part(SLUG, "attention").bias_of.cache_clear
    clear()
    yield
    clear()


def test_every_attention_is_exact():
    assert guarded() == set()


def test_slopes_half_as_steep_are_caught(monkeypatch):
    module = part(SLUG, "attention")
    plain = module.alibi_slopes
    monkeypatch.setattr(module, "alibi_slopes", lambda heads, device: plain(heads, device) / 2)
    assert guarded() == {"attention_math", "attention_fused"}


def test_attention_without_its_mask_is_caught(monkeypatch):
    module = part(SLUG, "attention")
    plain = module.bias_of
    monkeypatch.setattr(module, "bias_of", lambda *given: plain(*given).clamp(min=-1e4) * 0)
    assert guarded() == {"attention_math", "attention_fused"}


def test_switching_changes_positions_and_nothing_else():
    training, attention = part(SLUG, "training"), part(SLUG, "attention")
    model = training.TinyGPT(attention.SHAPES["tiny"])
    ids = torch.randint(256, (1, 12))
    outputs = []
    for positions, alibi in (("none", True), ("sinusoidal", False), ("none", True)):
        training.switch(
            model, positions, lambda q, k, v, bias, alibi=alibi: attention.standard(q, k, v, alibi=alibi)
        )
        with torch.no_grad():
            outputs.append(model(ids))
    assert torch.equal(outputs[0], outputs[2])
    assert not torch.allclose(outputs[0], outputs[1])


def test_the_ratio_is_one_of_perplexities_seed_by_seed():
    quality = part(SLUG, "quality")
    runs = [quality.Judged({256: 1.0, 512: 1.1}, {}), quality.Judged({256: 2.0, 512: 2.1}, {})]
    found = quality._ratio(runs, runs, 512, 256, "whole")
    assert found.value == pytest.approx(math.exp(0.1))
    assert found.high - found.low < 1e-9


def test_bytes_are_as_large_as_the_places_added_to_them():
    quality = part(SLUG, "quality")
    shape = quality.SHAPES["smoke"]
    model = quality.made(shape, seed=3)
    waves = sinusoids(0, 256, shape.width, torch.device("cpu"))
    assert 0.5 < model.embedding.weight.std() / waves.square().mean().sqrt() < 2
    again = quality.made(shape, seed=3)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_an_arm_that_has_not_learnt_is_caught_whichever_it_is():
    quality = part(SLUG, "quality")
    context = context_of(SLUG)
    context.preset = "full"
    length = context["length"]
    found = {name: [quality.Judged({length: 1.2, 2 * length: 1.3}, {})] for name in quality.ARMS}
    quality.guard_learned(context, found)
    assert failed(context) == set()
    found["sinusoidal at L"] = [quality.Judged({length: 2.2, 2 * length: 1.3}, {})]
    quality.guard_learned(context, found)
    assert failed(context) == {"learned"}
