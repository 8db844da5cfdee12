"""Length schedules: as many tokens, the same windows cut short, costs interpolated, guards see mistakes."""

import pytest
import torch

from reproduce.recipes.blocks.fleet_learning import Curves
from reproduce.recipes.blocks.text import Text
from tests.recipes.conftest import context_of, failed, part

SLUG = "seqlen-warmup"
run, schedule, training = (part(SLUG, name) for name in ("run", "schedule", "training"))


@pytest.fixture
def text():
    letters = torch.randint(97, 105, (6000,), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    return Text(letters, letters[:1500])


def test_rising_lengths_give_the_same_tokens_and_end_full():
    constant = schedule.constant(2048, 400)
    rising = schedule.rising(2048, constant.tokens(400))
    steps = len(rising.each)
    assert abs(rising.tokens(steps) - constant.tokens(400)) <= 1024
    assert 400 < steps < 500
    assert rising.each[0] == 64
    assert list(rising.each) == sorted(rising.each)
    assert rising.each.index(2048) == pytest.approx(0.3 * steps, abs=1)
    assert len(set(rising.each)) == 17


def test_costs_are_those_to_the_worse_of_both_final_losses():
    slow = [(3.0, 10.0, 1.0), (2.0, 20.0, 2.0)]
    fast = [(2.5, 10.0, 0.5), (1.5, 20.0, 1.0)]
    assert training.gain(slow, fast, 1) == pytest.approx(20 / 15)
    assert training.gain(slow, fast, 2) == pytest.approx(2 / 0.75)
    assert training.gain(fast, slow, 1) == pytest.approx(15 / 20)
    assert training.gain(slow, slow, 1) == 1


def test_divergence_is_a_spike_or_no_number():
    losses = torch.tensor([[3.0, 3.0, 3.0], [2.0, 2.0, 2.0], [3.9, 4.1, float("nan")], [1.0, 1.0, 1.0]])
    arm = training.Arm(schedule.constant(8, 4), Curves(losses, losses), torch.empty(0), [0.1, 0.2, 0.4], 1)
    assert [arm.diverged(rate, 0) for rate in range(3)] == [False, True, True]
    assert arm.largest_stable(0) == 0.1


def test_other_windows_or_tokens_fail_the_guards(text, monkeypatch):
    context = context_of(SLUG, steps=16, powers=[-8], layers=1)
    run.guard(context, text, run.train(context, text))
    assert failed(context) == set()
    honest, count = training.windows, iter(range(1000))
    monkeypatch.setattr(training, "windows", lambda c, t, n, seed: honest(c, t, n, seed + next(count)))
    monkeypatch.setattr(schedule, "rising", lambda full, tokens: schedule.constant(full, tokens // full - 2))
    monkeypatch.setattr(training, "judged_on", lambda c, t: t.held_out(4, c["context"] // 2))
    broken = context_of(SLUG, steps=16, powers=[-8], layers=1)
    run.guard(broken, text, run.train(broken, text))
    assert failed(broken) == {"same_order", "same_tokens", "full_context"}


def test_attention_share_is_the_published_one():
    assert run.attention_share(2048, 512) == pytest.approx(0.25, abs=0.005)
