"""The gap block: the second arm's loss less the first's, with as many tries for both."""

from functools import partial

import pytest

from reproduce.recipes.blocks import gap
from reproduce.recipes.blocks.tinygpt import Shape, TinyGPT
from tests.recipes.conftest import context_of, value


def test_a_gap_is_candidate_less_baseline_over_seeds(monkeypatch):
    context = context_of("linear-attention-decode")
    used = []

    def learn(context, text, make, steps, sequences, rate, seed):
        used.append((make, rate, seed))
        final = {"better": 1.0, "worse": 1.5}[make] + rate
        return gap.Curve([], [1, 2], [3.0, final], [0.0, 0.0])

    monkeypatch.setattr(gap, "_learn", learn)
    gap.measure_gap(context, {"baseline": "better", "candidate": "worse"}, 4, 2, 0.5)
    assert value(context, "quality_gap") == pytest.approx(0.5)
    assert len([arm for arm, _, _ in used if arm == "better"]) == len(used) / 2
    assert {rate for _, rate, seed in used if seed < gap.SEEDS} == {min(gap.RATES)}


def test_equal_arms_have_no_gap():
    context = context_of("linear-attention-decode")
    build = partial(TinyGPT, Shape(1, 16, 1, 16))
    gap.measure_gap(
        context, {"one": lambda seed: build(seed=seed), "other": lambda seed: build(seed=seed)}, 3, 2, 0.0
    )
    assert value(context, "quality_gap") == 0
    assert context.series[-1]["name"] == "quality"
