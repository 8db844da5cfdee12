"""The window's edges, the rolling cache, and how many queries and keys meet."""

from functools import partial

import pytest
import torch
from torch.nn.attention.flex_attention import create_block_mask

from tests.recipes.conftest import context_of, failed, part, value

SLUG = "swa-rolling-cache"


def guarded():
    context = context_of(SLUG)
    part(SLUG, "numerics").check(context, part(SLUG, "attention").windowed(context))
    return failed(context)


def test_window_and_rolling_cache_are_exact():
    assert guarded() == set()


def test_a_window_one_token_too_long_is_caught(monkeypatch):
    module = part(SLUG, "attention")
    plain = module.masked_window
    monkeypatch.setattr(module, "masked_window", lambda q, k, v, window: plain(q, k, v, window + 1))
    assert guarded() == {"window_exact", "window_gradient"}


def test_a_cache_that_rolls_one_slot_late_is_caught(monkeypatch):
    monkeypatch.setattr(
        part(SLUG, "rolling").Cache, "slot", lambda self, token: min(token, self.capacity - 1)
    )
    assert guarded() == {"rolling_exact"}


@pytest.mark.filterwarnings("ignore:flex_attention called")
def test_flex_attention_has_the_same_window():
    attention, context = part(SLUG, "attention"), context_of(SLUG)
    for length, window in ((512, 70), (512, 300), (640, 128)):
        q, k, v = attention.random(context, length, gradients=False)
        blocks = attention._blocks(length, window, q.device)
        whole = create_block_mask(attention._seen(window), None, None, length, length, device="cpu")
        assert torch.equal(blocks.to_dense(), whole.to_dense())
        assert torch.equal(blocks.full_kv_num_blocks, whole.full_kv_num_blocks)
        found = attention.flex_attention(q, k, v, block_mask=blocks, enable_gqa=True)
        torch.testing.assert_close(found, attention.masked_window(q, k, v, window), rtol=1e-4, atol=1e-5)


def test_pairs_that_meet_are_those_of_the_mask():
    pairs_of = part(SLUG, "timing").pairs_of
    for length, window in ((50, 7), (50, 50), (20, 64)):
        back = torch.arange(length)[:, None] - torch.arange(length)
        assert pairs_of(length, window) == ((back >= 0) & (back < window)).sum().item()
    assert round(pairs_of(16384, 16384) / pairs_of(16384, 4096), 2) == 2.29  # RECIPES, section 18


def test_the_cache_saves_tokens_over_window():
    context = context_of(SLUG, cache_tokens=512, window=64)
    part(SLUG, "rolling").count(context)
    assert value(context, "cache_saving") == 8


def test_a_windowed_work_passes_the_window_on():
    attention, timing = part(SLUG, "attention"), part(SLUG, "timing")
    given = attention.random(context_of(SLUG), 32)
    work = timing.forward(partial(timing._within, attention.masked_window, 5), given)
    torch.testing.assert_close(work(0), attention.masked_window(*given, 5))
