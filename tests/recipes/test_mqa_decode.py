"""Multi-query attention: one shared head is tied heads; beams take their parents' past; equal weights."""

import pytest
import torch

from reproduce.recipes.blocks import decoding
from tests.recipes.conftest import context_of, failed, part

SLUG = "mqa-decode"
exactness, decode, beams, learning = (
    part(SLUG, name) for name in ("exactness", "decode", "beams", "learning")
)


def test_the_guard_sees_attention_that_is_slightly_off(monkeypatch):
    context = context_of(SLUG)
    exactness.check(context)
    assert failed(context) == set()
    honest = decoding.grouped
    monkeypatch.setattr(decoding, "grouped", lambda q, k, v: honest(q * 1.01, k, v))
    exactness.check(context)
    assert failed(context) == {"shared_is_tied"}


def test_a_beam_step_gives_what_separate_sentences_give():
    """Each row alone, with its parent's past and its sentence's source, by plain attention."""
    context = context_of(SLUG, layers=1)
    stack = beams.beam_stack(context, 1, 8)
    shape, cache, memory = stack.shape, stack.caches[0], stack.memories[0]
    x, past, parents = torch.randn(8, shape.width), [cache.keys.clone(), cache.values.clone()], cache.parents
    found = stack.step(x, 5)
    assert torch.equal(parents // 4, torch.arange(8) // 4)
    alone = decode.Stack(shape, stack.layers, stack.head, [])
    for row in range(8):
        kept = [t[parents[row]][None].clone() for t in past]
        source = [t[row // 4][None] for t in (memory.keys, memory.values)]
        alone.caches, alone.memories = [decoding.KeyValues(*kept)], [decoding.KeyValues(*source)]
        torch.testing.assert_close(alone.step(x[row : row + 1], 5)[0], found[row], rtol=1e-4, atol=1e-4)


def test_widths_are_the_papers_and_bytes_of_the_caches_an_eighth():
    context = context_of(SLUG, width=1024, length=128)
    shapes = {arm: decode.shape_of(context, heads) for arm, heads in decode.ARMS.items()}
    assert (shapes["multi-head"].hidden, shapes["multi-query"].hidden) == (4096, 5440)
    assert shapes["multi-head"].cached(77) == 8 * shapes["multi-query"].cached(77)


@pytest.mark.parametrize("width", [32, 64])
def test_both_train_as_many_weights(width):
    sizes = {learning.build(width, 2, 16, 50, kv_heads).size() for kv_heads in (8, 1)}
    assert len(sizes) == 1
