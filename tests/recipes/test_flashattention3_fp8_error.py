"""FP8 attention: e4m3's published numbers, the identities of the method, and guards that notice a wrong one."""

import pytest
import torch

from tests.recipes.conftest import context_of, failed, part

SLUG = "flashattention3-fp8-error"
CPU = torch.device("cpu")


def test_rounding_gives_e4m3_numbers():
    # The format's table: largest 448, three bits after the leading one, smallest 2^-9; ties to even.
    given = torch.tensor([448.0, 17.0, 17.1, 19.0, 2**-9, 2**-10, -0.3], dtype=torch.float64)
    assert part(SLUG, "rounding").to_e4m3(given).tolist() == [448, 16, 18, 20, 2**-9, 0, -0.3125]


def test_the_identities_hold():
    context = context_of(SLUG)
    part(SLUG, "errors").identities(context)
    assert failed(context) == set()


def test_a_hadamard_matrix_one_percent_too_large_fails(monkeypatch):
    rounding, context = part(SLUG, "rounding"), context_of(SLUG, head_dims=[32])
    right = rounding.hadamard
    monkeypatch.setattr(rounding, "hadamard", lambda size, device: 1.01 * right(size, device))
    part(SLUG, "errors").identities(context)
    assert failed(context) == {"orthogonal_d32", "same_scores_d32", "same_without_rounding_d32"}


def test_rounding_with_a_bit_less_fails(monkeypatch):
    rounding, context = part(SLUG, "rounding"), context_of(SLUG, head_dims=[32])

    def coarse(x):
        return x.float().to(torch.float8_e5m2).double()

    monkeypatch.setattr(rounding, "to_e4m3", coarse)
    part(SLUG, "errors").identities(context)
    assert failed(context) == {"e4m3_step_d32"}


def test_a_kernel_that_attends_backwards_fails():
    kernels, context = part(SLUG, "kernels"), context_of(SLUG, head_dims=[32])
    part(SLUG, "speed").guard(context, lambda q, k, v: kernels.flash(q, k, v.flip(2)), [32])
    assert failed(context) == {"fast_kernel_d32"}


@pytest.mark.parametrize("width", [32, 64])
def test_mixing_spreads_an_outlier(width):
    row = torch.zeros(1, width, dtype=torch.float64)
    row[0, 3] = 10.0
    mixed = row @ part(SLUG, "rounding").mixer(width, CPU)
    assert mixed.abs().max().item() == pytest.approx(10 / width**0.5)
