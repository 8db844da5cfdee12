"""FlashAttention-2: the paper's FLOP formula, and a guard that notices a wrong kernel."""

import pytest
import torch

from reproduce.recipes.blocks import counting
from tests.recipes.conftest import context_of, failed, part

SLUG = "flashattention2-utilisation"


def check(context):
    part(SLUG, "numerics").check(context, torch.float32, ["flash"])


def test_the_fused_kernel_passes():
    context = context_of(SLUG)
    check(context)
    assert failed(context) == set()


def test_a_kernel_that_drops_the_causal_mask_fails(monkeypatch):
    attention, context = part(SLUG, "attention"), context_of(SLUG)
    right = attention.flash
    monkeypatch.setattr(attention, "flash", lambda q, k, v, causal: right(q, k, v, False))
    check(context)
    assert {name.split("_")[2] for name in failed(context)} == {"causal"}


def test_a_scale_that_is_one_percent_off_fails(monkeypatch):
    attention, context = part(SLUG, "attention"), context_of(SLUG)
    right = attention.flash
    monkeypatch.setattr(attention, "flash", lambda q, k, v, causal: right(1.01 * q, k, v, causal))
    check(context)
    assert "flash_d64_error" in failed(context)


def test_flop_of_the_formula_are_those_of_the_two_products():
    attention = part(SLUG, "attention")
    cell = attention.Cell(head_dim=16, causal=False, length=64, tokens=128, hidden=32)
    batch = attention.Batch.random(cell.shape, torch.float32, torch.device("cpu"))
    counted = counting.flop(lambda: attention.standard(*batch.qkv, False))
    assert counted == cell.flop("forward")
    # Standard backward has four products, fused backward a fifth: the scores again.
    whole = counting.flop(lambda: attention.both(attention.standard, batch, False)(0))
    assert whole + counted / 2 == cell.flop("both")


@pytest.mark.parametrize(("phase", "share"), [("forward", 1), ("backward", 2.5), ("both", 3.5)])
def test_a_causal_mask_halves_the_flop(phase, share):
    cell = part(SLUG, "attention").Cell
    full, causal = (cell(64, mask, 1024, 16384, 2048) for mask in (False, True))
    assert full.flop(phase) == 2 * causal.flop(phase) == share * 4 * 1024 * 16384 * 2048
