"""Int8 products and what is fused to them, against float64."""

import time

import pytest
import torch

from reproduce.recipes.blocks import int8


@pytest.fixture
def case():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(40, 64, generator=generator), torch.randn(24, 64, generator=generator)


def test_the_sums_are_exact(case):
    x, weight = (int8.Int8Weight.of(part).codes for part in case)
    assert torch.equal(int8.product(x, weight).long(), x.long() @ weight.long().T)


@pytest.mark.parametrize("per_tensor", [False, True])
def test_scaled_sums_are_the_product_of_what_the_codes_stand_for(case, per_tensor):
    x, weight = case[0], int8.Int8Weight.of(case[1], per_tensor)
    codes, scale = int8.quantise_rows(x)
    found = int8.finish(int8.product(codes, weight.codes), int8.Finish(weight.scale, scale))
    exact = (codes.double() * scale[:, None]) @ (weight.codes.double() * weight.scale[:, None]).T
    assert torch.allclose(found.double(), exact, rtol=1e-5, atol=1e-5)
    assert torch.allclose(found, x @ case[1].T, atol=0.5)
    assert (weight.scale.unique().numel() == 1) == per_tensor


def test_columns_kept_apart_are_added_exactly_once(case):
    x, weight = case[0].clone(), int8.Int8Weight.of(case[1])
    x[:, 5] *= 100
    kept = torch.ones(64)
    kept[5] = 0
    codes, scale = int8.quantise_rows(x, kept)
    apart = (x[:, [5]], weight.columns(torch.tensor([5])))
    found = int8.finish(int8.product(codes, weight.codes), int8.Finish(weight.scale, scale, apart=apart))
    assert (codes[:, 5] == 0).all()
    assert scale.max() < 0.05
    assert ((found - x @ case[1].T).norm() / found.norm()) < 0.01


def test_relu_bias_and_codes_for_the_next_product(case):
    weight, bias, next_scale = int8.Int8Weight.of(case[1]), torch.randn(24), torch.tensor([0.1])
    codes, scale = int8.quantise_rows(case[0])
    how = int8.Finish(weight.scale, scale, bias, relu=True, next_scale=next_scale)
    found = int8.finish(int8.product(codes, weight.codes), how)
    expected = ((case[0] @ case[1].T + bias).relu() / 0.1).clamp(max=127)
    assert found.dtype == torch.int8 and found.min() == 0
    assert (found.float() - expected).abs().max() < 5


def test_norm_and_rounding_at_once(case):
    weight, bias, scale = torch.rand(64) + 0.5, torch.randn(64), torch.tensor([0.03])
    found = int8.norm_quantise(case[0], weight, bias, scale)
    normed = torch.nn.functional.layer_norm(case[0], (64,), weight, bias)
    assert ((found * scale - normed).abs() <= 0.0151)[normed.abs() < 127 * 0.03].all()


def test_a_way_to_multiply_counts_only_if_it_works_and_agrees(case):
    def broken():
        raise TypeError("no such instruction")

    def slow(x):
        time.sleep(0.002)
        return x

    ways = {
        "right": lambda: slow(case[0]),
        "broken": broken,
        "wrong": lambda: case[0] * 1.05,
        "not a number": lambda: case[0] * torch.nan,
        "fast": lambda: case[0] * 1.0001,
    }
    assert int8.fastest(ways, torch.device("cpu")) == "fast"
    del ways["fast"]
    assert int8.fastest(ways, torch.device("cpu")) == "right"


def test_a_first_way_that_fails_is_an_error():
    with pytest.raises(ZeroDivisionError):
        int8.fastest({"right": lambda: torch.ones(1) * (1 // 0)}, torch.device("cpu"))
