"""Distillation: the loss in its limits, students that differ in nothing but targets, and splits that keep apart."""

import pytest
import torch
from torch.nn import functional

from tests.recipes.conftest import context_of, failed, part

SLUG = "kd-soft-targets"
distilling, digits, nets = (part(SLUG, name) for name in ("distilling", "digits", "nets"))


def test_at_temperature_one_with_sure_targets_it_is_cross_entropy():
    logits, labels = torch.randn(7, 10, dtype=torch.float64), torch.randint(10, (7,))
    found = distilling.soft_loss(logits, functional.one_hot(labels, 10), 1.0)
    torch.testing.assert_close(found, functional.cross_entropy(logits, labels, reduction="none"))


def test_the_gradient_is_least_where_student_and_teacher_agree():
    logits = torch.randn(5, 10, dtype=torch.float64, requires_grad=True)
    loss = distilling.soft_loss(logits, (logits.detach() / 5).softmax(-1), 5.0).sum()
    assert torch.autograd.grad(loss, logits)[0].abs().max() < 1e-12


@pytest.mark.parametrize("broken", [False, True])
def test_without_the_square_of_the_temperature_the_guard_fails(monkeypatch, broken):
    if broken:
        true = distilling.soft_loss
        monkeypatch.setattr(distilling, "soft_loss", lambda z, p, t: true(z, p, t) / t**2)
    context = context_of(SLUG)
    distilling.check(context)
    assert ("high_temperature_limit" in failed(context)) == broken


def test_half_of_a_gap_is_a_half_for_accuracies_and_for_losses():
    assert distilling.closed([80.0, 82.0], [85.0, 86.0], [90.0, 90.0]) == pytest.approx([5 / 9, 4 / 9])
    assert distilling.closed([3.0], [2.0], [1.0]) == [0.5]


def test_a_gap_within_its_noise_is_no_gap():
    context = context_of(SLUG)
    distilling.guard_gap(context, "small", [80.0, 91.0, 89.0], [90.0, 90.0, 90.0])
    distilling.guard_gap(context, "large", [70.0, 71.0, 70.5], [90.0, 90.0, 90.0])
    distilling.guard_gap(context, "reversed", [90.0, 90.0, 90.0], [70.0, 71.0, 70.5])
    assert failed(context) == {"gap_small", "gap_reversed"}


@pytest.fixture(scope="module")
def bunch():
    pytest.importorskip("sklearn")
    context = context_of(SLUG, digit_steps=10)
    return digits.load(context, [0, 1])


def test_test_digits_are_never_trained_on_and_little_data_holds_every_class(bunch):
    for seed, order in bunch.orders.items():
        assert not set(order[: digits.TESTED].tolist()) & set(bunch.rows(seed, 100).tolist())
        assert len(bunch.rows(seed, 3)) == 39
        assert bunch.labels[bunch.rows(seed, 3)].unique().numel() == digits.CLASSES


def test_nets_trained_together_are_those_trained_alone(bunch):
    jobs = [bunch.hard(0, 3, 0.0), bunch.soft(0, 3, 5.0), bunch.hard(1, 100, 1.0)]
    together = nets.train(bunch.pixels, jobs, 16, 12)
    for job, logits in zip(jobs, together, strict=True):
        torch.testing.assert_close(nets.train(bunch.pixels, [job], 16, 12)[0], logits, rtol=1e-3, atol=1e-4)
