"""SmoothQuant: smoothing by hand, the fused layer against the plain one, and guards that notice a fault."""

import pytest
import torch

from reproduce.recipes.blocks import outliers, tinygpt
from reproduce.recipes.blocks.teacher import Teacher
from reproduce.recipes.blocks.text import Text
from tests.recipes.conftest import context_of, failed, part

smoothing, quality, layers, checking = (
    part("smoothquant-w8a8", name) for name in ("smoothing", "quality", "layers", "checking")
)


@pytest.fixture
def untaught():
    shape = tinygpt.Shape(layers=2, width=64, heads=2, length=32)
    text = Text.from_bytes(bytes(range(256)) * 40, bytes(range(256)) * 4, torch.device("cpu"))
    return Teacher(tinygpt.TinyGPT(shape).requires_grad_(False), text, text.held_out(20, 32))


@pytest.fixture
def layer():
    dense = layers.Dense(128, torch.device("cpu"))
    return layers.Int8(dense, torch.randn(2, 32, 128).half())


def test_smoothing_evens_out_inputs_and_weights(untaught):
    """With alpha one half the largest input and the largest weight of a channel become equal."""
    tokens = untaught.calibration(0, 4)
    smoothed = smoothing.smooth(outliers.plant(untaught.model, 60, 2, 0), tokens)
    inputs = smoothing.largest_inputs(smoothed, tokens)["1.feed_forward.up"]
    weights = smoothed.blocks[1].feed_forward.up.weight.abs().amax(0)
    assert torch.allclose(inputs, weights, rtol=1e-3)


def test_int8_after_smoothing_is_nearer_to_the_model(untaught):
    tokens = untaught.calibration(0, 4)
    planted = outliers.plant(untaught.model, 300, 2, 0)
    exact = untaught.model(tokens)
    naive, smoothed = (
        (smoothing.in_int8(model, tokens)(tokens) - exact).norm()
        for model in (planted, smoothing.smooth(planted, tokens))
    )
    assert smoothed < 0.2 * naive


def test_the_guards_pass_and_notice_weights_that_were_not_multiplied(untaught, monkeypatch):
    context = context_of("smoothquant-w8a8")
    quality.guard(context, untaught)
    assert failed(context) == set()
    true = smoothing.smooth

    def without(model, tokens):
        changed = true(model, tokens)
        changed.blocks[0].mixer.value.weight.copy_(model.blocks[0].mixer.value.weight)
        return changed

    monkeypatch.setattr(smoothing, "smooth", without)
    quality.guard(context, untaught)
    assert failed(context) == {"smoothed_same"}


@pytest.mark.parametrize("wrong", [None, "relu", "scale", "bias"])
def test_the_guard_compares_the_fused_layer_with_the_plain_one(layer, wrong, monkeypatch):
    true = layers.multiply
    changes = {
        "relu": lambda how: {**vars(how), "relu": False},
        "scale": lambda how: {**vars(how), "column_scale": how.column_scale * 1.05},
        "bias": lambda how: {**vars(how), "bias": None},
    }
    if wrong:
        monkeypatch.setattr(
            layers,
            "multiply",
            lambda codes, weight, how: true(codes, weight, layers.Finish(**changes[wrong](how))),
        )
    context = context_of("smoothquant-w8a8")
    checking.guard(context, layer, torch.randn(2, 32, 128).half())
    assert failed(context) == ({"layer"} if wrong else set())


def test_a_layer_has_twelve_squares_of_weights_in_half_the_bytes(layer):
    assert sum(weight.numel() for weight in layer.dense.weights.values()) == 12 * 128**2
    assert layer.dense.bytes == 2 * (12 * 128**2 + 13 * 128)
    assert layer.bytes == 12 * 128**2 + 2 * 13 * 128 + 8 * 4
