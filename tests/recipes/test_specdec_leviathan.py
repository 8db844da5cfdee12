"""The theorem's guards on a small pair, broken on purpose; the test of a distribution against known tables."""

import pytest
import torch

from reproduce.recipes.blocks import speculation
from tests.recipes.conftest import context_of, failed, part, value
from tests.recipes.test_block_speculation import small

SLUG = "specdec-leviathan"
checks, pairs = part(SLUG, "checks"), part(SLUG, "pair")


@pytest.fixture
def pair():
    made = pairs.Pair.__new__(pairs.Pair)
    made.target, made.draft = small(0).float(), small(1).float()
    generator = torch.Generator().manual_seed(0)
    made.prompts = torch.randint(32, (20, 8), generator=generator).chunk(pairs.GROUPS)
    return made


@pytest.mark.parametrize(
    ("counts", "p"), [([60, 40], 0.0455), ([50, 50], 1.0), ([58, 42], 0.1096)], ids=["far", "same", "near"]
)
def test_chi_squared_against_its_table(counts, p):
    found = checks.chance(torch.tensor(counts, dtype=torch.float64), torch.tensor([0.5, 0.5]).double())
    assert found == pytest.approx(p, abs=1e-3)


def accept_all(drafted, chances, logits, temperature):
    return torch.ones_like(drafted, dtype=torch.bool)


def accept_too_rarely(drafted, chances, logits, temperature):
    return accept(drafted, chances, logits, temperature) & (torch.rand(drafted.shape) < 0.7)


def forget_the_draft(loop, count, chances, logits):
    return speculation.pick(logits.gather(1, count[:, None, None].expand(-1, 1, logits.shape[-1]))[:, 0], 1)


accept = speculation.accept


def test_the_guards_pass_for_the_algorithm_of_the_paper(pair):
    context = context_of(SLUG, draws=4096)
    checks.unchanged(context, pair)
    assert failed(context) == set()
    assert value(context, "distribution_unchanged") == 1


def test_the_guards_see_tokens_that_should_have_been_refused(pair, monkeypatch):
    monkeypatch.setattr(speculation, "accept", accept_all)
    context = context_of(SLUG, draws=4096)
    checks.unchanged(context, pair)
    assert failed(context) == {"greedy_identical", "drawn_token_1", "drawn_token_2"}
    assert value(context, "distribution_unchanged") == 0


@pytest.mark.parametrize(
    ("place", "broken"), [("accept", accept_too_rarely), ("Loop._next", forget_the_draft)]
)
def test_the_guards_see_a_biased_draw(pair, monkeypatch, place, broken):
    monkeypatch.setattr(f"reproduce.recipes.blocks.speculation.{place}", broken)
    context = context_of(SLUG, draws=4096)
    checks.unchanged(context, pair)
    assert "drawn_token_1" in failed(context)
