"""Pruning: what each method removes, by hand, and guards that notice too many weights gone or no update."""

import pytest
import torch

from reproduce.recipes.blocks import hessian, outliers, tinygpt
from reproduce.recipes.blocks.teacher import Teacher
from reproduce.recipes.blocks.text import Text
from tests.recipes.conftest import context_of, failed, part

pruning, quality = (part("wanda-sparsegpt", name) for name in ("pruning", "quality"))


@pytest.fixture
def untaught():
    shape = tinygpt.Shape(layers=1, width=64, heads=2, length=32)
    text = Text.from_bytes(bytes(range(256)) * 40, bytes(range(256)) * 4, torch.device("cpu"))
    return Teacher(tinygpt.TinyGPT(shape).requires_grad_(False), text, text.held_out(20, 32))


def correlated(width=64):
    generator = torch.Generator().manual_seed(0)
    mixed = torch.eye(width) + 0.1 * torch.randn(width, width, generator=generator)
    x = torch.randn(500, width, generator=generator) @ mixed * torch.linspace(0.3, 3, width)
    return torch.randn(16, width, generator=generator), x.T @ x


def test_wandas_example_by_hand():
    """Where magnitude would remove the small weight of a large feature, Wanda removes that of a small one."""
    weight, squares = torch.tensor([[4.0, -0.5, 3.0, -2.0]]), torch.tensor([1.0, 100.0, 1.0, 4.0])
    half = pruning.Pattern(0.5)
    assert pruning.metric(weight, squares).tolist() == [[4.0, 5.0, 3.0, 4.0]]
    assert pruning.wanda(weight, torch.diag(squares), pruning.Pattern(0.25)).tolist() == [
        [4.0, -0.5, 0.0, -2.0]
    ]
    assert pruning.magnitude(weight, torch.diag(squares), half).tolist() == [[4.0, 0.0, 3.0, 0.0]]


@pytest.mark.parametrize("pattern", pruning.PATTERNS, ids=lambda pattern: pattern.name)
def test_exactly_the_pattern_goes_and_the_update_helps(pattern):
    weight, products = correlated()
    found = {name: getattr(pruning, name)(weight, products, pattern) for name in quality.METHODS}
    for new in found.values():
        zeros = (new == 0).unflatten(-1, (-1, pattern.of)).sum(-1) if pattern.of else (new == 0).sum()
        assert (
            (zeros == pattern.out).all()
            if pattern.of
            else abs(zeros / weight.numel() - pattern.share) < 1 / 64
        )
    errors = {name: hessian.reconstruction_error(weight, new, products) for name, new in found.items()}
    assert errors["sparsegpt"] < errors["wanda"] < errors["magnitude"]


def test_without_correlations_sparsegpt_is_wanda_by_blocks():
    """With a diagonal Hessian nothing can be made up for, and 2:4 masks follow the same metric."""
    weight, squares = torch.randn(8, 32, generator=torch.Generator().manual_seed(1)), torch.rand(32) + 0.5
    pattern, damped = pruning.Pattern(0.5, 4), torch.diag(squares + 0.01 * squares.mean())
    found = pruning.sparsegpt(weight, torch.diag(squares), pattern)
    assert torch.equal(found, pruning.wanda(weight, damped, pattern))


def test_wanda_is_blind_to_planting_and_magnitude_is_not(untaught):
    tokens, half = untaught.calibration(0, 8), pruning.Pattern(0.5)
    planted = outliers.plant(untaught.model, 64, 2, 0)
    for method, same in (("wanda", True), ("magnitude", False)):
        plain, other = (quality.pruned(model, tokens, method, half) for model in (untaught.model, planted))
        assert (outliers.difference(plain, other, tokens) < 1e-5) == same


def test_the_guards_pass_and_notice_faults(untaught, monkeypatch):
    context = context_of("wanda-sparsegpt")
    quality.guard(context, untaught)
    assert failed(context) == set()
    monkeypatch.setattr(
        pruning,
        "sweep",
        lambda weight, factor, keep: pruning.wanda(weight, torch.eye(weight.shape[1]), pruning.Pattern(0.8)),
    )
    quality.guard(context, untaught)
    assert failed(context) == {"sparsity", "compensates"}


def test_the_comparison_group_alone_decides_where_a_row_is_small():
    weight, one, half = torch.tensor([[4.0, 3.0], [2.0, 1.0]]), torch.eye(2), pruning.Pattern(0.5)
    for by_layer in (pruning.magnitude, pruning.wanda_by_layer):
        assert by_layer(weight, one, half).tolist() == [[4.0, 3.0], [0.0, 0.0]]
    for by_row in (pruning.magnitude_by_row, pruning.wanda):
        assert by_row(weight, one, half).tolist() == [[4.0, 0.0], [2.0, 0.0]]


def test_the_planted_channels_are_those_that_are_left_out(untaught):
    context = context_of("wanda-sparsegpt")
    bare = quality.without_planted(context, untaught, 0)
    planted = outliers.plant(untaught.model, quality.GAIN, quality.OUTLIERS["smoke"], 0)
    gains = planted.blocks[0].norm_mixer.weight
    assert torch.equal(bare.blocks[0].norm_mixer.weight == 0, gains == quality.GAIN)
