"""Linear attention: three forms of the paper's sum, and decoding that is the same model in every way."""

import pytest
import torch

from reproduce.recipes.blocks.growing import dense
from tests.recipes.conftest import context_of, failed, part

SLUG = "linear-attention-decode"
forms, models, throughput = (part(SLUG, name) for name in ("forms", "models", "throughput"))


def tensors(n=12, dtype=torch.float64):
    return [torch.randn(2, 3, n, 4, dtype=dtype) for _ in range(3)]


def test_the_quadratic_form_is_the_papers_sum():
    q, k, v = tensors(5)
    similar = [(forms.features(q[0, 1, 4]) @ forms.features(k[0, 1, m])) for m in range(5)]
    expected = sum(s * v[0, 1, m] for m, s in enumerate(similar)) / sum(similar)
    torch.testing.assert_close(forms.quadratic(q, k, v)[0, 1, 4], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("chunk", [3, 4, 12])
def test_chunks_of_any_size_give_the_same(chunk):
    torch.testing.assert_close(forms.chunked(*tensors_of(7), chunk), forms.quadratic(*tensors_of(7)))


def tensors_of(seed):
    torch.manual_seed(seed)
    return tensors()


def test_the_guards_see_a_lost_norm_and_a_lost_mask(monkeypatch):
    context = context_of(SLUG)
    forms.check(context)
    assert failed(context) == set()
    monkeypatch.setattr(forms, "_before", lambda added: added.cumsum(2))  # a chunk sees its own end twice
    forms.check(context)
    assert failed(context) == {"chunked_is_quadratic"}


def test_the_guard_sees_a_norm_that_vanishes(monkeypatch):
    context = context_of(SLUG)
    monkeypatch.setattr(forms, "EPSILON", 0.0)
    forms.check(context)
    assert failed(context) == {"norm_never_vanishes"}


def test_softmax_recomputed_is_softmax_with_a_cache():
    context = context_of(SLUG)
    weights = models.weights_of(context)
    tokens = torch.randn(2, 7, context["width"])
    stack = models.cached(context, weights, 2, 7)
    grown = models.growing(models.cached(context, weights, 2, 7))
    for n in range(7):
        found = stack.step(tokens[:, n], n)
    torch.testing.assert_close(found, models.recomputed(weights, tokens), rtol=1e-3, atol=1e-4)
    for cache, filled in zip(grown.caches, stack.caches, strict=True):
        for buffer, numbers in zip((cache.keys, cache.values), filled.upto(6), strict=True):
            dense(buffer, 6).copy_(numbers)
    torch.testing.assert_close(grown.step(tokens[:, 6], 6), found, rtol=1e-3, atol=1e-4)


def test_limits_at_the_papers_shape():
    """Against a cache, bytes allow some tens; without one, thousands: the claims are about the baselines."""
    sizes = {"layers": 16, "width": 256, "cache_tokens": 2359296, "linear_batch": 8192}
    context = context_of(SLUG, **sizes)
    ceilings = throughput.Probe(half=8e14, single=5e13, eighth=None, copy=4e12, launch=3e-6)
    batches = {"linear": 8192, "cached": 768, "growing": 768, "recomputed": 8}
    least = throughput._least(context, ceilings, 3072, batches)
    gains = {arm: least[arm] / least["linear"] for arm in throughput.LABELS}
    assert 10 < gains["cached"] < 40 and 40 < gains["growing"] < 120 and gains["recomputed"] > 500
