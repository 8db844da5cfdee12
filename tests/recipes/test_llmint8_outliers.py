"""LLM.int8(): the schemes against float64, the paper's bytes, and guards that notice what is wrong."""

import pytest
import torch

from reproduce.recipes.blocks import outliers, tinygpt
from reproduce.recipes.blocks.teacher import Teacher
from reproduce.recipes.blocks.text import Text
from tests.recipes.conftest import context_of, failed, part, value

schemes, quality, speed, weights = (
    part("llmint8-outliers", name) for name in ("schemes", "quality", "speed", "weights")
)


@pytest.fixture
def untaught():
    shape = tinygpt.Shape(layers=2, width=64, heads=2, length=32)
    text = Text.from_bytes(bytes(range(256)) * 40, bytes(range(256)) * 4, torch.device("cpu"))
    return Teacher(tinygpt.TinyGPT(shape).requires_grad_(False), text, text.held_out(20, 32))


def case(outlier=1.0):
    generator = torch.Generator().manual_seed(0)
    x, w = torch.randn(64, 128, generator=generator), torch.randn(32, 128, generator=generator)
    x[:, 7] *= outlier
    return x, w


@pytest.mark.parametrize("name", schemes.SCHEMES)
def test_without_outliers_every_scheme_is_within_two_percent(name):
    x, w = case()
    exact = x.double() @ w.double().T
    assert (schemes.SCHEMES[name](x, w) - exact).norm() / exact.norm() < 0.02


def test_with_an_outlier_only_the_decomposition_keeps_the_other_features():
    x, w = case(outlier=500.0)
    rest = x.double()[:, torch.arange(128) != 7] @ w.double()[:, torch.arange(128) != 7].T
    lone = torch.outer(x[:, 7], w[:, 7]).double()
    error = {
        name: ((scheme(x, w) - lone - rest).norm() / rest.norm()).item()
        for name, scheme in schemes.SCHEMES.items()
    }
    assert error["LLM.int8()"] < 0.02
    assert min(error[name] for name in ("absmax", "row-wise", "vector-wise")) > 0.5


def test_the_bytes_are_those_that_the_paper_tells():
    context = context_of("llmint8-outliers")
    weights.count(context)
    assert value(context, "weight_bytes") == pytest.approx(1.96, abs=0.005)
    kept = sum(t.numel() for t in weights.model(torch.float16))
    assert kept == pytest.approx(176.2e9, rel=0.002)


def test_the_guards_pass_and_notice_a_half_planted_model(untaught, monkeypatch):
    context = context_of("llmint8-outliers")
    quality.guard(context, untaught)
    assert failed(context) == set()
    monkeypatch.setattr(quality.outliers, "plant", lambda *given, true=outliers.plant: _spoilt(true(*given)))
    monkeypatch.setattr(schemes, "THRESHOLD", 0.5)
    broken = context_of("llmint8-outliers")
    quality.guard(broken, untaught)
    assert failed(broken) == {"planted_same", "few_apart"}


def _spoilt(planted):
    planted.blocks[0].norm_forward.weight *= 1.01
    return planted


def test_the_guard_notices_scales_that_are_one_percent_off(monkeypatch):
    context = context_of("llmint8-outliers")
    speed.guard(context)
    assert failed(context) == set()
    true = speed.quantise_rows
    monkeypatch.setattr(
        speed, "quantise_rows", lambda x, kept=None: (true(x, kept)[0], true(x, kept)[1] * 1.01)
    )
    speed.guard(context)
    assert failed(context) == {"product"}
