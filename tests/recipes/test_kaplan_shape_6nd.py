"""Kaplan's identity and fits, the Kneser-Ney bar, and guards that notice a wrong count or model."""

import collections
import math

import numpy as np
import pytest

from reproduce.recipes.blocks import fleet, fleet_starts
from tests.recipes.conftest import context_of, failed, part, value

SLUG = "kaplan-shape-6nd"


def counted():
    context = context_of(SLUG)
    part(SLUG, "identity").measure(context)
    return context


def test_flop_are_those_of_table_1_and_near_six():
    context = counted()
    assert failed(context) == set()
    assert value(context, "flop_ratio") == pytest.approx(6 * (1 + 1024 / 12 / 1600), rel=1e-3)


def test_a_model_with_narrower_feed_forward_is_caught(monkeypatch):
    identity = part(SLUG, "identity")
    monkeypatch.setattr(
        identity, "PAPER", type(identity.PAPER)(**{**identity.PAPER.__dict__, "hidden": 6336})
    )
    assert failed(counted()) == {"table_1"}


def test_a_fleet_agrees_with_its_members_and_one_scaled_one_per_cent_off_does_not(monkeypatch):
    agreement = part(SLUG, "agreement")
    context = context_of(SLUG)
    agreement.check(context)
    assert failed(context) == set()
    plain = fleet_starts.manner
    off = fleet.Manner(output=1.01)
    monkeypatch.setattr(
        fleet_starts,
        "manner",
        lambda layers: fleet.Manner(deviation=plain(layers).deviation, output=off.output),
    )
    context = context_of(SLUG)
    agreement.check(context)
    assert failed(context) == {"fleet_agrees"}


def test_kneser_ney_is_that_of_the_textbook():
    train, test = b"abracadabra abracadabra cabra", b"abra cabracad"
    expected = [_textbook(train, test[at - 2 : at], test[at : at + 1]) for at in range(2, len(test))]
    found = part(SLUG, "ngram").cross_entropy(train, test, order=3)
    assert found == pytest.approx(-np.log(expected).mean(), rel=1e-9)


def _textbook(train, context, byte):
    """One probability by explicit dictionaries, trigrams down to a uniform chance."""
    trigrams = [train[at : at + 3] for at in range(len(train) - 2)]
    kinds = {3: trigrams, 2: [g[1:] for g in sorted(set(trigrams))]}
    kinds[1] = [g[1:] for g in sorted({g[1:] for g in trigrams})]
    chance = 1 / 256
    for length in (1, 2, 3):
        before, counts = context[3 - length :], collections.Counter(kinds[length])
        once, twice = (sum(c == n for c in counts.values()) for n in (1, 2))
        discount = once / (once + 2 * twice) if once else 0.0
        follow = {g: c for g, c in counts.items() if g[:-1] == before}
        if total := sum(follow.values()):
            own = max(follow.get(before + byte, 0) - discount, 0)
            chance = (own + discount * len(follow) * chance) / total
    return chance


def test_kneser_ney_chances_sum_to_one():
    train = b"abracadabra abracadabra cabra"
    losses = [part(SLUG, "ngram").cross_entropy(train, b"ab" + bytes([byte]), order=3) for byte in range(256)]
    assert sum(map(math.exp, (-loss for loss in losses))) == pytest.approx(1)


def test_planted_power_laws_come_back_with_their_floor():
    sweeps, results = part(SLUG, "sweeps"), part(SLUG, "results")
    x = [10.0**k for k in range(3, 9)]
    pure = sweeps.Sweep(x, [[3 * at**-0.076] * 2 for at in x], [1.0], [])
    assert pure.exponents() == pytest.approx([0.076] * 2)
    assert pure.straightness() == pytest.approx(1)
    lifted = sweeps.Sweep(x, [[0.6 + 3 * at**-0.2] for at in x], [1.0], [])
    floor, exponent = results._above_a_floor(lifted)
    assert floor == pytest.approx(0.6, abs=0.02)
    assert exponent == pytest.approx(0.2, abs=0.02)


def test_shapes_of_unequal_size_are_compared_as_if_equal():
    sweeps, ladder = part(SLUG, "sweeps"), part(SLUG, "ladder")
    shapes = [ladder.shape_of(*size) for size in ladder.SHAPES]
    losses = [[float(ladder.parameters(shape)) ** -0.1] * 3 for shape in shapes]
    corrected = sweeps.Shapes(shapes, losses, [], []).corrected(0.1)
    assert np.ptp(corrected) == pytest.approx(0, abs=1e-12)
    assert np.ptp([ladder.parameters(shape) for shape in shapes]) / ladder.parameters(shapes[0]) < 0.025


def test_models_that_know_less_than_counts_of_bytes_are_caught():
    sweeps, results = part(SLUG, "sweeps"), part(SLUG, "results")

    def guards(loss, norm=1.0):
        context = context_of(SLUG)
        context.preset = "full"
        sweep = sweeps.Sweep([1e4, 2e6], [[2.5] * 3, [loss] * 3], [norm], [])
        shapes = sweeps.Shapes([], [[loss + 0.1] * 3] * 2, [], [1.0])
        results.believable(context, sweep, shapes, sweep, {3: 1.8, 5: 1.4})
        return failed(context)

    assert guards(1.3) == set()
    assert guards(1.5) == {"beats_five_gram"}
    assert guards(1.9) == {"beats_five_gram", "beats_three_gram"}
    assert guards(1.3, math.nan) == {"gradients"}


@pytest.mark.parametrize("optimum", [0.3, 3.0, 20.0])
def test_rates_are_tried_until_the_best_is_between_others(optimum, monkeypatch):
    learning, tried = part(SLUG, "learning"), []

    def learn(context, text, shape, seeds, multiples, steps):
        tried.extend(multiples)
        losses = [
            math.log(multiple / optimum) ** 2 + seed for multiple, seed in zip(multiples, seeds, strict=True)
        ]
        return learning.Trained(losses, losses, 1.0)

    monkeypatch.setattr(learning, "learn", learn)
    found = learning.at_best_rate(context_of(SLUG), None, None, 1)
    assert min(found.tried) < found.multiple < max(found.tried)
    assert math.sqrt(0.5) <= found.multiple / optimum <= math.sqrt(2)
    assert tried.count(found.multiple) == len(found.losses)
