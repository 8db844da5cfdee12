"""Packed weights say what they should; the kernels' arithmetic, done in numpy, is that of the reference."""

import numpy as np
import pytest
import torch

from reproduce.recipes.blocks import gemv


@pytest.fixture
def weight():
    return torch.randn(6, 3 * gemv.GROUP, generator=torch.Generator().manual_seed(0))


def test_4_bits_a_weight_and_a_quarter_for_scales(weight):
    packed = gemv.Packed4.of(weight)
    assert packed.bytes * 8 == 4.25 * weight.numel()
    step = packed.scale.float().repeat_interleave(gemv.GROUP, 1)
    assert ((packed.restored() - weight).abs() <= 0.51 * step + 1e-3).all()
    assert packed.codes().unique().tolist() == list(range(16))


def test_the_product_is_that_of_the_restored_weights(weight):
    packed, x = gemv.Packed4.of(weight), torch.randn(weight.shape[1])
    expected = packed.restored().double() @ x.double()
    assert torch.allclose(gemv.matvec4(packed, x).double(), expected, atol=1e-4)


def test_a_code_in_a_floats_fraction_is_one_and_sixteenths(weight):
    """What the 4-bit kernel does with a word: shift the nibble to the top of the fraction, mask, reinterpret."""
    packed = gemv.Packed4.of(weight)
    words = packed.words.numpy()
    codes = packed.codes().numpy().reshape(6, 3, 8, gemv.WORDS)
    for nibble in range(8):
        moved = words << (19 - 4 * nibble) if nibble < 5 else words >> (4 * nibble - 19)
        values = ((moved & 0x00780000) | 0x3F800000).astype(np.int32).view(np.float32)
        assert (values == 1 + codes[:, :, nibble] / 16).all()


def test_int8_is_summed_exactly():
    generator = torch.Generator().manual_seed(1)
    weight = torch.randint(-127, 128, (8, 4096), dtype=torch.int8, generator=generator)
    x = torch.randint(-127, 128, (4096,), dtype=torch.int8, generator=generator)
    found = gemv.matvec8(weight, x, torch.tensor([0.5]), torch.float32)
    assert torch.equal(found.double(), (weight.double() @ x.double()) / 2)
