"""fp8-training-layer: products and narrow Adam are right within their formats, and guards notice when not."""

import pytest
import torch

from tests.recipes.conftest import context_of, failed, part

SLUG = "fp8-training-layer"
fp8, layer, numerics, states = (part(SLUG, name) for name in ("fp8", "layer", "numerics", "states"))


def test_products_gradients_and_updates_pass_their_guards():
    context = context_of(SLUG)
    numerics.check(context)
    assert len(context.guards) == 4
    assert failed(context) == set()


def test_the_guards_notice_products_that_are_lost(monkeypatch):
    monkeypatch.setattr(fp8, "product", lambda a, b, *scales, **fast: torch.zeros(len(a), len(b)))
    context = context_of(SLUG)
    numerics.check(context)
    assert failed(context) == {"product_error", "gradient_error"}


@pytest.mark.parametrize(("scale", "guard"), [(1.08, "product_error"), (float("inf"), "overflow")])
def test_the_guards_notice_a_wrong_scale(scale, guard, monkeypatch):
    whole = fp8.product
    monkeypatch.setattr(
        fp8, "product", lambda a, b, scale_a, scale_b, fast: whole(a, b, scale_a * scale, scale_b, fast)
    )
    context = context_of(SLUG)
    numerics.check(context)
    assert guard in failed(context)


def test_the_guard_notices_a_second_moment_in_too_narrow_a_range(monkeypatch):
    monkeypatch.setattr(states, "TOPS", (448.0, 2.0**-22))
    context = context_of(SLUG)
    numerics.check(context)
    assert failed(context) == {"narrow_adam"}


def test_narrow_states_take_six_bytes_and_the_layer_computes_what_the_wide_one_does():
    weights = layer.weights(128, torch.device("cpu"), torch.float32)
    held = [states.NarrowWeights(weight.detach()) for weight in weights]
    x = torch.randn(1, 32, 128, requires_grad=True)
    wide = layer.forward(x, [layer.wide(weight) for weight in weights], 2)
    narrow = layer.forward(x, [layer.narrow(each) for each in held], 2)
    assert 0 < (narrow - wide).norm() / (wide - x).norm() < 0.1
    narrow.sum().backward()
    for each, weight in zip(held, weights, strict=True):
        size = sum(tensor.numel() * tensor.element_size() for tensor in each.states())
        assert size / weight.numel() == 6 + 8 / states.BLOCK
        each.step()
        assert each.gradient.wide().shape == weight.shape
