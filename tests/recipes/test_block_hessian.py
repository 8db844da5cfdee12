"""The sweep against its definition, and the statistics against a plain product."""

import pytest
import torch

from reproduce.recipes.blocks import hessian
from reproduce.recipes.blocks.quantizing import asymmetric


@pytest.fixture
def case():
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(400, 24, dtype=torch.float64, generator=generator) @ torch.randn(
        24, 24, dtype=torch.float64, generator=generator
    )
    return torch.randn(10, 24, dtype=torch.float64, generator=generator), x.T @ x


def one_by_one(weight, products, damp, grid):
    """Optimal brain surgeon, as written: after each column, invert the Hessian of the columns that remain."""
    hess = products + damp * products.diagonal().mean() * torch.eye(len(products), dtype=torch.float64)
    w, out = weight.clone(), torch.empty_like(weight)
    for i in range(w.shape[1]):
        inverse = torch.linalg.inv(hess[i:, i:])
        out[:, i] = grid.nearest(w[:, i : i + 1])[:, 0]
        w[:, i:] -= torch.outer((w[:, i] - out[:, i]) / inverse[0, 0], inverse[0])
    return out


@pytest.mark.parametrize("block", [1, 7, 8, 128])
def test_the_blocked_sweep_is_the_plain_one(case, block):
    weight, products = case
    grid = asymmetric(weight, 3, (-1,))
    factor = hessian.inverse_factor(products, 0.01)
    found = hessian.sweep(
        weight, factor, lambda part, _, i, start: grid.nearest(part[:, i : i + 1])[:, 0], block
    )
    assert torch.allclose(found, one_by_one(weight, products, 0.01, grid), atol=1e-9)
    nearest = hessian.reconstruction_error(weight, grid.nearest(weight), products)
    assert hessian.reconstruction_error(weight, found, products) < 0.8 * nearest


def test_the_factor_is_that_of_the_inverse_and_unseen_inputs_do_not_break_it(case):
    _, products = case
    factor = hessian.inverse_factor(products, 0.0)
    assert torch.allclose(factor.T @ factor, torch.linalg.inv(products), rtol=1e-6)
    assert torch.equal(factor, factor.triu())
    products[3], products[:, 3] = 0.0, 0.0
    assert hessian.inverse_factor(products).isfinite().all()


def test_statistics_are_those_of_what_the_layer_was_given():
    model = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Linear(5, 4))
    batches = [torch.randn(3, 7, 6) for _ in range(2)]
    found = hessian.gather(model, [("first", model[0]), ("second", model[1])], batches)
    x = torch.cat(batches).flatten(0, 1)
    assert torch.allclose(found["first"].products, x.T @ x, atol=1e-4)
    assert torch.allclose(found["second"].norms, model[0](x).norm(dim=0), rtol=1e-4)
    assert found["first"].count == 42
    assert not model[0]._forward_pre_hooks
