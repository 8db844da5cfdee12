"""Allocators, the simulated server and the paged kernel's stand-in: against closed forms, and broken on purpose."""

from itertools import pairwise

import pytest
import torch

from tests.recipes.conftest import context_of, failed, part

SLUG = "pagedattention-waste"
allocators, attention = part(SLUG, "allocators"), part(SLUG, "attention")
checks, decoder, serving = part(SLUG, "checks"), part(SLUG, "decoder"), part(SLUG, "serving")


def test_a_buddy_pool_splits_merges_and_never_overlaps():
    pool = allocators.BuddyPool(15_728)
    held = [pool.take(wanted) for wanted in (5, 100, 2048, 1000, 16, 3, 700)]
    taken = sorted(held)
    assert all(a + size <= b for (a, size), (b, _) in pairwise(taken))
    assert [size for _, size in held] == [8, 128, 2048, 1024, 16, 4, 1024]
    for piece in held:
        pool.give_back(piece)
    assert pool.free == 15_728
    assert pool.take(8192) == (0, 8192)  # merged again
    assert pool.take(8192) is None


def test_reserving_the_maximum_leaves_the_papers_external_fragmentation():
    """Seven pieces of 2048 fit into 15,728 slots: 8.9 % of the pool serves nobody, as in the paper's figure 2."""
    use = serving.reserved([(2, 4)] * 200, 15_728, serving.RESERVATIONS["max"])
    assert set(use.batches) == {7}
    outside = 1 - 7 * 2048 / 15_728
    assert outside == pytest.approx(0.089, abs=5e-4)
    assert use.share == pytest.approx(7 * (2 + (1 + 2 + 3 + 4) / 4) / 15_728)


def test_blocks_waste_half_a_block_a_request_and_preempt_rather_than_fail():
    requests = serving.lengths(300, 1.0, seed=0)
    small, large = (serving.paged(requests, 15_728, block) for block in (16, 128))
    lost = 1 - large.share - (1 - small.share)
    assert lost == pytest.approx((128 - 16) / 2 * large.batch / 15_728, rel=0.25)
    assert small.preempted > 0
    assert small.leaked == large.leaked == 0


def test_lengths_have_the_published_means_and_fit_the_model():
    requests = serving.lengths(2000, 1.0, seed=3)
    prompts, outputs = (torch.tensor(column, dtype=torch.float64) for column in zip(*requests, strict=True))
    assert prompts.mean().item() == pytest.approx(serving.PROMPT, abs=0.6)
    assert outputs.mean().item() == pytest.approx(serving.OUTPUT, abs=0.6)
    assert (prompts + outputs).max() <= serving.LONGEST


def test_a_token_of_opt_13b_takes_800_kb():
    assert decoder.token_bytes(decoder.SHAPES["opt-13b"]) == 800 * 1024


def broken_table(q, pool, lengths, table, page):
    return attention.by_slots(q, pool, attention.slots_of(table.roll(1, 0), page), lengths)


def without_lengths(q, pool, lengths, table, page):
    return attention.by_slots(q, pool, attention.slots_of(table, page), torch.full_like(lengths, 128))


@pytest.mark.parametrize("broken", [None, broken_table, without_lengths])
def test_the_guard_sees_a_wrong_table_and_a_forgotten_length(broken, monkeypatch):
    if broken:
        monkeypatch.setattr(attention, "paged", broken)
    context = context_of(SLUG)
    checks.same_attention(context)
    assert failed(context) == ({"paged_equals_contiguous", "paged_exact"} if broken else set())
