"""muon-steps: orthogonalisation against the SVD, its FLOP, both optimizers' updates, and where losses cross."""

import math

import pytest
import torch

from reproduce.recipes.blocks import counting
from reproduce.recipes.blocks.tinygpt import SMOKE, TinyGPT
from tests.recipes.conftest import context_of, failed, part

SLUG = "muon-steps"
muon, numerics, race = (part(SLUG, name) for name in ("muon", "numerics", "race"))


def test_orthogonalised_matrices_pass_the_guards():
    context = context_of(SLUG)
    numerics.check(context)
    assert len(context.guards) == 3
    assert failed(context) == set()


@pytest.mark.parametrize(
    ("name", "broken", "guard"),
    [
        ("COEFFICIENTS", (2.5, -4.775, 2.0315), "singular_values"),
        ("ITERATIONS", 1, "singular_values"),
        ("MOMENTUM", float("nan"), "update_rms"),
    ],
)
def test_the_guards_notice_wrong_constants(name, broken, guard, monkeypatch):
    monkeypatch.setattr(muon, name, broken)
    context = context_of(SLUG)
    numerics.check(context)
    assert guard in failed(context)


def test_flop_are_those_that_the_products_take():
    shapes = [(16, 48), (48, 16), (32, 32)]
    counted = counting.flop(lambda: [muon.orthogonal(torch.randn(1, *shape)) for shape in shapes])
    assert muon.flop_of(shapes) == counted


def test_every_parameter_is_in_one_group_and_the_outer_ones_learn_by_adamw():
    model = TinyGPT(SMOKE)
    groups = muon.groups_of(model, 0.1)
    assert sum(p.numel() for group in groups for p in group["params"]) == model.size()
    twin = TinyGPT(SMOKE)
    optimizer = muon.Muon(groups, lr=1e-3, betas=(0.9, 0.95))
    adamw = torch.optim.AdamW(
        [{"params": [twin.embedding.weight], "weight_decay": 0.1}], lr=1e-3, betas=(0.9, 0.95)
    )
    for _ in range(3):
        for p in model.parameters():
            p.grad = torch.randn_like(p)
        twin.embedding.weight.grad = model.embedding.weight.grad.clone()
        optimizer.step()
        adamw.step()
    assert torch.allclose(model.embedding.weight, twin.embedding.weight, atol=1e-6)


def test_losses_cross_where_they_do():
    shares = (0.25, 0.5, 1.0)
    losses = [2.0 - math.log(share) for share in shares]
    assert race.crossing(shares, losses, 2.0 - math.log(0.4)) == pytest.approx(0.4)
    assert race.crossing(shares, losses, 9.0) == 0.25
    assert race.crossing(shares, losses, 1.9) == pytest.approx(math.exp(0.1))
