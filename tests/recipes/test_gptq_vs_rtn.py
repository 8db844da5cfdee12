"""GPTQ: nothing to compensate without correlations, and guards that notice a sweep or a product gone wrong."""

import pytest
import torch

from reproduce.recipes.blocks import tinygpt
from reproduce.recipes.blocks.teacher import Teacher
from reproduce.recipes.blocks.text import Text
from tests.recipes.conftest import context_of, failed, part

gptq, quality, decoding = (part("gptq-vs-rtn", name) for name in ("gptq", "quality", "decoding"))


@pytest.fixture
def untaught():
    """A model that learnt nothing will do: the guard is about arithmetic."""
    shape = tinygpt.Shape(layers=1, width=64, heads=2, length=64)
    text = Text.from_bytes(bytes(range(256)) * 40, bytes(range(256)) * 4, torch.device("cpu"))
    model = tinygpt.TinyGPT(shape).requires_grad_(False)
    return Teacher(model, text, text.held_out(20, 64))


def test_without_correlations_gptq_is_rounding_to_nearest():
    weight = torch.randn(8, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(gptq.gptq(weight, 5 * torch.eye(32), 3), gptq.nearest(weight, 3))


def test_the_guard_passes_and_notices_a_sweep_that_compensates_nothing(untaught, monkeypatch):
    context = context_of("gptq-vs-rtn")
    quality.guard(context, untaught)
    assert failed(context) == set()
    plain = lambda weight, factor, choose: torch.stack(  # noqa: E731
        [choose(weight, factor, i, 0) for i in range(weight.shape[1])], 1
    )
    monkeypatch.setattr(gptq, "sweep", plain)
    broken = context_of("gptq-vs-rtn")
    quality.guard(broken, untaught)
    assert failed(broken) == {"compensates"}


def test_the_guard_notices_weights_that_leave_their_grid(untaught, monkeypatch):
    true = gptq.sweep
    monkeypatch.setattr(gptq, "sweep", lambda *given: true(*given) * 1.01)
    context = context_of("gptq-vs-rtn")
    quality.guard(context, untaught)
    assert "on_grid" in failed(context)


def test_the_guard_notices_a_product_that_is_one_percent_off(monkeypatch):
    context = context_of("gptq-vs-rtn")
    decoding.guard(context)
    assert failed(context) == set()
    true = decoding.matvec4
    monkeypatch.setattr(decoding, "matvec4", lambda weight, x: true(weight, x) * 1.01)
    decoding.guard(context)
    assert failed(context) == {"product"}


def test_a_layer_of_opt_has_twelve_squares_of_weights_and_the_limit_is_that_of_its_bytes():
    assert sum(outputs * inputs for outputs, inputs in decoding.shapes(12288)) == 12 * 12288**2
    packed = decoding.Packed4.of(torch.randn(16, 256))
    assert packed.bytes * 8 / (16 * 256) == decoding.BITS == 4.25
    assert quality.share(1.0, 1.4, 1.1) == pytest.approx(0.75)
