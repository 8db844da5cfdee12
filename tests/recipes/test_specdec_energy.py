"""Energy a token from windows, signs from pairs of windows; the loop's guard, broken on purpose."""

import pytest
import torch

from reproduce.recipes.blocks import speculation
from reproduce.recipes.roofline import Probe
from tests.recipes.conftest import context_of, failed, part, value

SLUG = "specdec-energy"
checks, decoding = part(SLUG, "checks"), part(SLUG, "decoding")
findings, joules = part(SLUG, "findings"), part(SLUG, "joules")
CEILINGS = Probe(1e12, 1e12, None, 1e12, 1e-6)


def spent(batch, alone, speculative):
    return joules.Spent(batch, alone, speculative, tokens=2.77)


class Counter:
    """A GPU that was never slowed by anything but its power cap."""

    index = 0

    def slowed(self):
        return 0x04  # the power cap alone

    def now(self):
        return {"sm_clock_mhz": 1980, "temperature_c": 40, "power_w": 500.0}


def test_joules_are_those_of_all_tokens_of_the_batch(monkeypatch):
    context = context_of(SLUG)
    context.gpu = Counter()
    fixed = {"joules": 6.0, "joules_above_idle": 3.0, "watts": 300.0, "calls": 2, "seconds": 0.04}
    monkeypatch.setattr(joules, "energy", lambda *_: dict(fixed))
    made = decoding.Arms(8, lambda call: None, lambda call: None, loop_with(accepted=24, iterations=16))
    found = joules.windows(context, made, 3, 1.0, idle=50.0)
    assert found.alone == [6.0 / 8] * 3
    assert found.speculative == [6.0 / 8 / 2.5] * 3
    assert found.above_idle["speculative"] == [3.0 / 8 / 2.5] * 3
    assert found.slowed == 0
    assert found.ratios == pytest.approx([0.4] * 3)


def loop_with(accepted, iterations):
    loop = speculation.Loop(None, None, 4, torch.zeros(1, 32), torch.ones(1, dtype=torch.long))
    loop.accepted, loop.iterations = torch.tensor(accepted), torch.tensor(iterations)
    return loop


@pytest.mark.parametrize(
    ("small", "large", "holds"),
    [
        ([0.71, 0.70, 0.72], [1.24, 1.26, 1.25], 1.0),
        ([0.71, 0.70, 0.72], [0.97, 0.99, 0.98], 0.5),
        ([1.02, 1.01, 1.03], [1.24, 1.26, 1.25], 0.0),
        ([0.70, 1.30, 0.95], [1.24, 1.26, 1.25], 0.0),  # on average less, but not for sure
    ],
)
def test_both_signs_must_be_the_papers(small, large, holds):
    context = context_of(SLUG)
    one, other = findings.SCORED["smoke"]
    found = {one: spent(one, [1.0, 1.0, 1.0], small), other: spent(other, [1.0, 1.0, 1.0], large)}
    findings.report(context, CEILINGS, found, None)
    assert value(context, "signs") == holds


def test_windows_that_disagree_and_slowed_clocks_fail_their_guards(monkeypatch):
    monkeypatch.setattr(findings, "STEADY", {"smoke": 0.05})
    context = context_of(SLUG)
    found = {batch: spent(batch, [1.0, 1.02, 1.01], [0.7, 0.72, 0.71]) for batch in (1, 4)}
    findings.report(context, CEILINGS, found, None)
    assert failed(context) == set()
    found[4].alone[1], found[4].slowed = 1.2, 1
    findings.report(context, CEILINGS, found, None)
    assert failed(context) == {"windows_agree", "clocks_kept"}


def test_the_guard_sees_tokens_that_should_have_been_refused(monkeypatch):
    context = context_of(SLUG)
    checks.same_tokens(context)
    assert failed(context) == set()
    monkeypatch.setattr(speculation, "accept", lambda drafted, *_: torch.ones_like(drafted, dtype=torch.bool))
    checks.same_tokens(context)
    assert failed(context) == {"same_tokens"}
