"""adam8bit-blockwise: guards notice a wrong optimizer; linear codes break where dynamic ones do not."""

import torch

from reproduce.recipes.blocks import eight_bit, learning
from tests.recipes.conftest import context_of, failed, part, value

SLUG = "adam8bit-blockwise"
numerics, quality, states, update = (part(SLUG, name) for name in ("numerics", "quality", "states", "update"))


def test_codes_and_updates_are_right_and_states_are_as_small_as_the_formula_says():
    context = context_of(SLUG)
    numerics.check(context)
    update.guard_fused(context)
    states.count(context)
    assert failed(context) == set()
    assert value(context, "state_saving") == 8 / (2 + 8 / 2048)


def test_the_guards_notice_a_second_moment_without_its_correction(monkeypatch):
    class Uncorrected(eight_bit.Adam8bit):
        def _state(self, parameter):
            state = super()._state(parameter)
            state["step"].add_(1)
            return state

    monkeypatch.setattr(eight_bit, "Adam8bit", Uncorrected)
    context = context_of(SLUG)
    numerics.check(context)
    assert "first_update" in failed(context)


def test_the_guards_notice_codes_that_are_rounded_to_six_bits(monkeypatch):
    encode = eight_bit.encode
    monkeypatch.setattr(eight_bit, "encode", lambda *given: encode(*given) // 4 * 4)
    context = context_of(SLUG)
    numerics.check(context)
    assert "code_error" in failed(context)


def test_the_guard_notices_a_timed_update_that_is_another_one(monkeypatch):
    def faster(weight):
        step = update.reference(weight)
        return lambda gradient: step(gradient * 1.01 + 0.01)

    monkeypatch.setattr(update, "stepper", faster)
    context = context_of(SLUG)
    update.guard_fused(context)
    assert failed(context) == {"fused_same"}


def test_linear_codes_blow_small_gradients_up_beside_a_large_one():
    gradient = torch.full((4096, 2), 2e-2)
    gradient[0] = 3.0
    moved = {}
    for kind in ("linear", "dynamic"):
        weight = torch.nn.Parameter(torch.zeros(4096, 2))
        make = quality.optimizer_of(kind, learning.Plan(1, 1e-3))
        optimizer = make([weight])
        for share in (1.0, 0.0):
            weight.grad = gradient * share
            optimizer.step()
        moved[kind] = weight.abs().max().item()
    assert moved["dynamic"] < 0.01 < 10 < moved["linear"]
