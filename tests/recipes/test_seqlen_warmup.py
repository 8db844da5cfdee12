"""Length warm-up: the same tokens, rates that follow them, truncation without side effects, and stability."""

import math

import numpy as np
import pytest
import torch

from reproduce.recipes.blocks import fleet
from reproduce.recipes.blocks.learning import Curve, Plan
from tests.recipes.conftest import context_of, failed, part

SLUG = "seqlen-warmup"


def guarded():
    context = context_of(SLUG)
    part(SLUG, "checks").check(context)
    return failed(context)


def test_arms_are_fair():
    assert guarded() == set()


def test_attention_that_sees_later_bytes_is_caught(monkeypatch):
    plain = torch.nn.functional.scaled_dot_product_attention
    monkeypatch.setattr(
        fleet.functional,
        "scaled_dot_product_attention",
        lambda q, k, v, is_causal, scale: plain(q, k, v, scale=scale),
    )
    assert guarded() == {"truncation"}


def test_a_warm_up_of_as_many_steps_instead_of_tokens_is_caught(monkeypatch):
    schedule = part(SLUG, "schedule")
    plain = schedule.warm_up
    monkeypatch.setattr(schedule, "warm_up", lambda steps, *rest: plain(steps, *rest)[:steps])
    assert guarded() == {"same_tokens"}


def test_lengths_rise_in_multiples_and_rates_follow_tokens():
    schedule = part(SLUG, "schedule")
    lengths = schedule.warm_up(800, 1024, 64, 0.3)
    assert lengths[0] == 64
    assert set(lengths) == set(range(64, 1025, 64))
    assert list(lengths) == sorted(lengths)
    assert lengths[240:] == (1024,) * (len(lengths) - 240)
    assert sum(lengths) == pytest.approx(800 * 1024, abs=512)
    plan, whole = schedule.plan_of(lengths, 4), Plan(800, 0.0)
    for step in range(240, len(lengths), 50):
        assert plan.scale(step) == pytest.approx(whole.scale(sum(lengths[:step]) / 1024))
    same = schedule.plan_of(schedule.constant(800, 1024), 4)
    assert [same.scale(step) for step in range(800)] == pytest.approx([whole.scale(s) for s in range(800)])


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda losses: losses, False),
        (lambda losses: [*losses[:50], *[5.0] * 5, *losses[55:]], True),
        (lambda losses: [*losses[:50], 3.5, *losses[51:]], False),
        (lambda losses: [*losses[:50], math.nan, *losses[51:]], True),
        (lambda losses: [*losses[:60], *[1.5 * losses[60]] * 40], True),
        (lambda losses: [*losses[:60], *[1.1 * losses[60]] * 40], False),
    ],
)
def test_a_run_is_unstable_by_what_its_losses_do(change, expected):
    losses = change([1 + 4 / (1 + 0.1 * step) for step in range(100)])
    curve = Curve(losses, [100], [losses[-1]], [1.0])
    assert part(SLUG, "arms").unstable(curve) is expected


def test_the_largest_stable_rate_has_only_stable_rates_below_it():
    largest = part(SLUG, "results").largest_stable
    assert largest([1, 2, 4, 8], np.array([[0, 0], [0, 0], [1, 0], [0, 0]], bool)) == 2
    assert largest([1, 2], np.zeros((2, 3), bool)) == 2
    assert largest([1, 2], np.array([[0, 1], [0, 0]], bool)) is None


@pytest.mark.parametrize(
    ("unstable", "caught"),
    [([0, 1], set()), ([0, 0], {"largest_rate_unstable"}), ([1, 1], {"smallest_rate_stable"})],
)
def test_a_grid_that_does_not_hold_the_largest_stable_rate_is_caught(unstable, caught):
    class Arm:
        def unstable(self):
            return np.array(unstable, bool)[:, None]

    context = context_of(SLUG)
    context.preset = "full"
    part(SLUG, "results").stability(context, Arm(), Arm())
    assert failed(context) == caught


def test_gains_are_to_the_worse_of_the_last_losses():
    gain = part(SLUG, "results").gain
    slow = Curve([], [100, 200, 400], [3.0, 2.0, 1.0], [1.0, 2.0, 4.0])
    fast = Curve([], [100, 200, 400], [2.0, 1.0, 0.5], [0.5, 1.0, 2.0])
    assert gain(slow, fast) == (2.0, 4.0)
    assert gain(fast, slow) == (0.5, 0.25)
