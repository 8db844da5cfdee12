"""Rounding against its own definition: half a step at most, published codebooks, lossless packing."""

import pytest
import torch

from reproduce.recipes.blocks import quantizing as q

# arXiv:2305.14314, appendix E
PUBLISHED_NF4 = [
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
    -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
    0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
]  # fmt: skip


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("fit", [q.symmetric, q.asymmetric])
@pytest.mark.parametrize("dims", [(0, 1), (-1,), (0,)])
def test_no_value_is_further_than_half_a_step(bits, fit, dims):
    x = torch.randn(16, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    grid = fit(x, bits, dims)
    codes = grid.codes(x)
    assert ((x - grid.values(codes)).abs() <= grid.scale * (0.5 + 1e-9)).all()
    assert (codes.min().item(), codes.max().item()) >= (grid.bottom, grid.bottom)
    assert codes.max() <= grid.top
    assert len(codes.unique()) <= 2**bits


def test_more_groups_and_more_bits_err_less():
    x = torch.randn(8, 256, generator=torch.Generator().manual_seed(1))
    errors = [(x - q.rounded(x, bits, group)).pow(2).mean() for bits, group in ((3, None), (3, 32), (4, 32))]
    assert errors == sorted(errors, reverse=True)


def test_nf4_is_the_published_one():
    assert torch.allclose(torch.tensor(q.nf4()), torch.tensor(PUBLISHED_NF4), atol=2e-4)
    assert q.nf4()[7] == 0.0 and (q.nf4()[0], q.nf4()[-1]) == (-1.0, 1.0)


@pytest.mark.parametrize("name", ["nf4", "fp4-e2m1", "fp4-e3m0", "int4"])
def test_the_nearest_code_is_nearest(name):
    values = q.codebook(name, torch.device("cpu"))
    assert len(values) <= 16 and (values.diff() > 0).all()
    x = torch.rand(5000, generator=torch.Generator().manual_seed(2)) * 2 - 1
    found = values[q.nearest_code(x, values)]
    assert torch.allclose((x - found).abs(), (x[:, None] - values).abs().amin(1))


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_packing_loses_nothing_and_takes_the_bits_it_says(bits):
    codes = torch.randint(2**bits, (3, 64), generator=torch.Generator().manual_seed(3))
    packed = q.pack(codes, bits)
    assert packed.numel() * 8 == codes.numel() * bits
    assert torch.equal(q.unpack(packed, bits), codes.to(torch.uint8))


def test_codes_that_fill_no_byte_are_refused():
    with pytest.raises(ValueError, match="whole bytes"):
        q.pack(torch.zeros(2, 7), 2)
