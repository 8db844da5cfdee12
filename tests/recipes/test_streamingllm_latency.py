"""The rolling cache with sinks against its definition, in both of its forms, and the decoder at its edges."""

import pytest
import torch

from tests.recipes.conftest import context_of, failed, part

SLUG = "streamingllm-latency"


def guarded():
    context = context_of(SLUG)
    part(SLUG, "numerics").check(context)
    return failed(context)


def test_the_cache_is_exact_and_does_not_grow():
    assert guarded() == set()


def test_sinks_that_stay_at_their_true_places_are_caught(monkeypatch):
    module = part(SLUG, "streaming")
    monkeypatch.setattr(module.Cache, "begin", no_turning(module))
    assert guarded() == {"streaming_exact"}


def no_turning(module):
    plain = module.Cache.begin

    def begin(cache):
        sinks = cache.sinks.shape[2]
        before = cache.keys[:, :, :sinks].clone()
        turn = plain(cache)
        cache.keys[:, :, :sinks] = before
        return turn

    return begin


def test_a_cache_that_rolls_over_its_sinks_is_caught(monkeypatch):
    module = part(SLUG, "streaming")
    plain = module.Cache.put

    def put(cache, layer, key, value):
        cache.slot = cache.slot - cache.sinks.shape[2]
        plain(cache, layer, key, value)

    monkeypatch.setattr(module.Cache, "put", put)
    assert guarded() == {"streaming_exact"}


@pytest.mark.parametrize("sinks", [0, 3])
def test_attention_over_all_tokens_at_once_is_that_of_the_cache(sinks):
    streaming, quality = part(SLUG, "streaming"), part(SLUG, "quality")
    window, length, width = 8, 21, 16
    q, k, v = torch.randn(3, 1, 2, length, width)
    turn = streaming.turns(torch.arange(length), width)
    found = quality.Streamed(window, sinks)(streaming.rotate(q, turn), streaming.rotate(k, turn), v)
    kept = [*range(sinks), *range(length - (window - sinks), length)]
    places = torch.arange(window)
    keys = streaming.rotate(k[0, :, kept], streaming.turns(places, width))
    query = streaming.rotate(q[0, :, -1:], streaming.turns(places[-1:], width))
    expected = torch.softmax(query @ keys.mT * width**-0.5, dim=-1) @ v[0, :, kept]
    torch.testing.assert_close(found[0, :, -1:], expected, rtol=1e-4, atol=1e-5)


def test_a_step_from_a_full_cache_is_the_window_recomputed(monkeypatch):
    """With one layer nothing but keys and values of the inputs is cached, so both ways agree."""
    monkeypatch.setattr(torch, "compile", lambda part, **options: part)  # its import takes seconds
    module, shape = part(SLUG, "decoder"), part(SLUG, "latency").Shape
    decoder = module.Decoder.random(
        shape(1, 32, 2, 2, 16, 48, gated=True, vocabulary=10), torch.float32, torch.device("cpu")
    )
    x, size, sinks = torch.randn(9, 32), 8, 2
    _, keys, values = decoder._heads(module.normed(x[:size]) @ decoder.layers[0]["qkv"])
    cache = module.Cache.filled(keys[None], values[None], sinks)
    step = decoder.step(x[size:], cache, part(SLUG, "quality").functional.scaled_dot_product_attention)
    kept = [*range(sinks), *range(sinks + 1, size + 1)]
    torch.testing.assert_close(step, decoder.window(x[kept]), rtol=1e-4, atol=1e-4)


def test_the_guards_ask_for_two_per_cent_and_a_sink_worth_the_name():
    for ratio, mass, wrong in ((1.01, 0.5, set()), (1.03, 0.5, {"sinks_lose_nothing"})):
        context = context_of(SLUG)
        context.preset = "full"
        part(SLUG, "quality").guard(context, ratio, mass)
        assert failed(context) == wrong
    part(SLUG, "quality").guard(context, 1.03, 0.011)  # as much as a first token without raised scores got
    assert failed(context) == {"sinks_lose_nothing", "planted_is_a_sink"}


def test_a_raised_first_score_is_the_same_in_training_and_within_a_cache():
    quality = part(SLUG, "quality")
    q, k, v = torch.randn(3, 2, 3, 8, 16)
    found, streamed = quality.Lifted(2.0)(q, k, v), quality.Streamed(8, 0, 2.0)
    torch.testing.assert_close(found, streamed(q, k, v), rtol=1e-4, atol=1e-5)
    plain = quality.Streamed(8, 0)
    assert not torch.allclose(found, plain(q, k, v), atol=1e-3)
    assert streamed.masses[0] > plain.masses[0]
