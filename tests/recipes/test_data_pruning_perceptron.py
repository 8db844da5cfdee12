"""Pruned perceptrons: the student has the largest margin, theory has the known limits, guards see mistakes."""

import math
from dataclasses import replace

import pytest
import torch

from tests.recipes.conftest import context_of, failed, part

SLUG = "data-pruning-perceptron"
perceptron, theory, run = (part(SLUG, name) for name in ("perceptron", "theory", "run"))


@pytest.fixture(autouse=True)
def one_thread(few_threads):
    """These arrays are too small to be shared out."""
    torch.set_num_threads(1)


def test_the_student_has_the_largest_margin():
    signed, teacher = perceptron.examples(12, 3, seed=1)
    student = perceptron.largest_margin(signed, teacher)
    assert student.gap < 1e-5
    margins = signed @ student.weights / student.weights.norm()
    duals = torch.zeros(len(signed), dtype=torch.float64)  # the same by plain dual ascent, one at a time
    weights = torch.zeros(12, dtype=torch.float64)
    for _ in range(250):
        for i in range(len(signed)):
            moved = max(0.0, float(duals[i] + (1 - signed[i] @ weights) / signed[i].square().sum()))
            weights += (moved - duals[i]) * signed[i]
            duals[i] = moved
    assert float(margins.min()) == pytest.approx(float((signed @ weights / weights.norm()).min()), rel=5e-3)


def test_hard_ones_have_small_margins_and_shares_are_nested():
    signed, teacher = perceptron.examples(20, 8, seed=0)
    margins = {way: perceptron.pruned(signed, teacher, way, 0.25) @ teacher for way in perceptron.WAYS}
    assert len(margins["hard"]) == len(margins["easy"]) == len(margins["random"]) == 40
    assert margins["hard"].max() < margins["random"].mean() < margins["easy"].min()
    assert (signed @ teacher > 0).all()


def test_theory_reaches_the_known_asymptote_of_the_largest_margin():
    assert theory.error(100.0, "random", 1.0) * 100 == pytest.approx(0.5005, rel=0.03)  # Opper et al., 1990
    assert theory.error(3.0, "random", 0.3) == theory.error(3.0, "random", 1.0)
    assert theory.error(1e-3, "random", 1.0) == pytest.approx(
        0.5 - math.asin(math.sqrt(2e-3 / math.pi)) / math.pi, rel=0.02
    )


def test_a_student_of_smaller_margin_fails_the_guards(monkeypatch):
    right = context_of(SLUG, alphas=[2, 4], seeds=3)
    run._learn(right)
    assert failed(right) == set()

    def lazy(signed, start, subset=None):
        student = honest(signed, start, subset)
        weights = student.weights + 0.3 * student.weights.norm() * start
        scaled = weights * student.weights.norm() ** 2 / (weights @ student.weights)
        return replace(student, weights=scaled, gap=1 - float((student.weights.norm() / scaled.norm()) ** 2))

    honest = perceptron.largest_margin
    monkeypatch.setattr(perceptron, "largest_margin", lazy)
    broken = context_of(SLUG, alphas=[2, 4], seeds=3)
    errors = run._learn(broken)
    run._guard_theory(broken, errors, run._expect(errors))
    assert {"largest_margin", "theory_random", "theory_pruned"} <= failed(broken)


def test_pruning_the_wrong_end_fails_the_theory(monkeypatch):
    honest, swap = perceptron.pruned, {"hard": "easy", "easy": "hard", "random": "random"}
    contexts = []
    for way in (lambda way: way, swap.get):
        monkeypatch.setattr(perceptron, "pruned", lambda s, t, w, f, way=way: honest(s, t, way(w), f))
        contexts.append(context_of(SLUG, alphas=[2, 4, 8], seeds=4))
        errors = run._learn(contexts[-1])
        run._guard_theory(contexts[-1], errors, run._expect(errors))
    assert failed(contexts[0]) == set()
    assert failed(contexts[1]) == {"theory_pruned"}
