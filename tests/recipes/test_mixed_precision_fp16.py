"""mixed-precision-fp16: scaled gradients are right, underflow is counted, updates round as they should."""

import copy

import pytest
import torch

from reproduce.recipes.blocks import learning
from reproduce.recipes.blocks.tinygpt import SMOKE, TinyGPT
from tests.recipes.conftest import context_of, failed, part

SLUG = "mixed-precision-fp16"
formats, gradients, operations = (part(SLUG, name) for name in ("formats", "gradients", "operations"))


def test_gradients_in_fp16_agree_with_64_bit_arithmetic():
    context = context_of(SLUG)
    gradients.check(context)
    assert failed(context) == set()


def test_the_guard_notices_gradients_that_are_unscaled_one_percent_wrong(monkeypatch):
    right = formats.Narrow.backward

    def wrong(ctx, gradient):
        return (right(ctx, gradient)[0] * 1.01, None, None)

    monkeypatch.setattr(formats.Narrow, "backward", staticmethod(wrong))
    context = context_of(SLUG)
    gradients.check(context)
    assert failed(context) == {"fp16_gradient_error"}


def test_underflow_is_what_fp16_rounds_to_zero():
    values = 2.0 ** torch.linspace(-40, 4, 1000, dtype=torch.float64)
    expected = (values.to(torch.float16) == 0).double().mean().item()
    assert gradients.underflow(values, 1.0) == pytest.approx(expected)
    assert gradients.underflow(values, 2.0**20) == 0


def test_weights_without_a_master_stay_on_the_grid_of_fp16():
    model = TinyGPT(SMOKE)
    before = copy.deepcopy(model)
    plan = learning.Plan(1, 1e-3)
    way, lost = formats.WAYS["fp16 without master weights"], []
    optimizer = formats.optimizer_of(way, plan, lost)(list(model.parameters()))
    model.loss(torch.randint(256, (2, 9))).backward()
    optimizer.step()
    for now, then in zip(model.parameters(), before.parameters(), strict=True):
        assert torch.equal(now, now.half().float())
        assert not torch.equal(now, then)


def test_updates_that_rounding_undoes_are_counted():
    """fp16 is 2^-10 apart above one and 2^-11 below it, and rounds to even at the half."""
    weight = torch.nn.Parameter(torch.tensor([1.0, 1.0, 1.0, 0.25]))
    way, lost = formats.WAYS["fp16 without master weights"], []
    optimizer = formats.optimizer_of(way, learning.Plan(1, 1.0, weight_decay=0.0), lost)([weight])
    for group in optimizer.param_groups:
        group["lr"] = 2.0**-12
    weight.grad = torch.tensor([1.0, -1.0, 0.0, 1.0])
    optimizer.step()
    assert lost[0].tolist() == [3, 2]
    assert weight.tolist() == pytest.approx([1.0, 1.0, 1.0, 0.25 - 2.0**-12])
