"""Packing: lengths as fitted, every sequence once, rows nearly full, and sequences that do not see each other."""

import pytest
import torch

from tests.recipes.conftest import context_of, failed, part

SLUG = "sequence-packing"
apart, attention, batches, packing, training = (
    part(SLUG, name) for name in ("apart", "attention", "batches", "packing", "training")
)


@pytest.mark.parametrize("padding", [0.2, 0.5, 0.65])
def test_the_histogram_has_the_padding_that_was_asked_for_and_rows_get_full(padding):
    counts = packing.histogram(512, padding)
    assert packing.padding_of(counts) == pytest.approx(padding, abs=1e-3)
    packs = packing.best_fit(counts)
    assert packing.efficiency(packs, 512) > (0.99 if padding >= 0.5 else 0.9)  # too few short ones below
    typical = packing.draw(packs, 24)
    assert sum(map(len, typical)) / 24 == pytest.approx(1 / (1 - padding), rel=0.12)


def test_packing_loses_no_sequence_and_overfills_no_row():
    counts = [0, 7, 0, 5, 3, 0, 4, 0, 1, 2, 6]
    packs = packing.best_fit(counts)
    packed = [0] * len(counts)
    for pack, rows in packs.items():
        assert sum(pack) <= 10
        for size in pack:
            packed[size] += rows
    assert packed == counts


def test_best_fit_takes_the_fullest_row_with_room():
    counts = [0, 0, 0, 1, 0, 0, 1, 1, 0, 0, 0]  # 7 and 6 open rows; 3 fits both, and fills the first
    assert packing.best_fit(counts) == {(7, 3): 1, (6,): 1}


BREAKS = {
    "no mask": ("inside", lambda layout, half: attention.scaled_dot),
    "neighbours": (
        "same_segment",
        lambda layout: (
            attention.scaled_dot
            and torch.ones(*layout.tokens.shape, layout.tokens.shape[1], dtype=torch.bool)[:, None].tril(40)
        ),
    ),
}


@pytest.mark.parametrize("broken", [None, *BREAKS])
def test_sequences_that_see_each_other_fail_the_guards(monkeypatch, broken):
    if broken:
        monkeypatch.setattr(attention, *BREAKS[broken])
    context = context_of(SLUG)
    apart.check(context)
    seen = {"features_of_masked_tokens", "kernel_keeps_apart"}
    assert (seen <= failed(context)) if broken else not failed(context)


def test_positions_that_do_not_start_again_fail_the_guard(monkeypatch):
    true = batches._layout

    def running_on(*given):
        layout = true(*given)
        layout.places = torch.arange(layout.places.shape[1]).expand_as(layout.places)
        return layout

    monkeypatch.setattr(batches, "_layout", running_on)
    context = context_of(SLUG)
    apart.check(context)
    assert "features_of_masked_tokens" in failed(context)


def test_both_layouts_hold_the_same_sequences_and_predict_the_same_tokens():
    context = context_of(SLUG)
    sequences = training.drawn(context, 0.5, 6)
    packed, padded = (
        layout.tokens.flatten()[layout.masked] for layout in (sequences.packed, sequences.padded)
    )
    assert torch.equal(packed, padded)
    assert sequences.packed.real.sum() == sequences.padded.real.sum() == sum(sequences.lengths)
    assert sum(sequences.packed.segments) == sequences.packed.tokens.numel()


def test_every_sequence_counts_equally_in_the_loss():
    sequences = training.drawn(context_of(SLUG), 0.5, 6)
    shares = torch.zeros(len(sequences.lengths)).index_add(0, sequences.owner, sequences.weights)
    torch.testing.assert_close(shares, torch.ones_like(shares))
