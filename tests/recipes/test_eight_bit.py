"""Eight-bit numbers and the Adam that keeps its moments so."""

import copy

import pytest
import torch

from reproduce.recipes.blocks import eight_bit
from reproduce.recipes.blocks.eight_bit import Adam8bit, Quantised, encode, table

CPU = torch.device("cpu")


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("kind", eight_bit.KINDS)
def test_every_code_stands_for_one_value_that_encodes_to_it(kind, signed):
    values = table(kind, signed, CPU)
    assert values.shape == (256,)
    assert torch.all(values.diff()[:254] > 0)
    assert values[-1] == 1
    assert (0.0 in values) and values.min() >= (-1 if signed else 0)
    distinct = values[:255] if kind == "linear" and signed else values
    assert torch.equal(encode(distinct, kind, signed), torch.arange(len(distinct), dtype=torch.uint8))


@pytest.mark.parametrize("signed", [True, False])
def test_dynamic_codes_are_hardly_worse_than_the_nearest_values(signed):
    torch.manual_seed(0)
    x = torch.randn(10_000).clamp(-4, 4) / 4
    x = x if signed else x.square()
    values = table("dynamic", signed, CPU)
    nearest = values[(x[:, None] - values).abs().argmin(dim=1)]
    found = values[encode(x, "dynamic", signed).int()]
    assert (found - x).square().mean() <= 1.05 * (nearest - x).square().mean()


def test_blocks_keep_small_values_beside_an_outlier():
    torch.manual_seed(0)
    x = torch.randn(5000)
    x[0] = 1e4
    errors = {}
    for block in (None, 64):
        kept = Quantised.zeros(5000, CPU, signed=True, block=block)
        kept.write(x)
        errors[block] = (kept.read() - x)[64:].square().mean().sqrt().item()
    assert errors[64] < 0.05 < 4 * errors[None]


def test_moments_take_two_bytes_and_their_scales():
    parameter = torch.nn.Parameter(torch.randn(4, 4096))
    parameter.grad = torch.randn_like(parameter)
    optimizer = Adam8bit([parameter], lr=1e-3)
    optimizer.step()
    held = sum(tensor.numel() * tensor.element_size() for tensor in optimizer.tensors())
    assert held / parameter.numel() == 2 + 2 * 4 / 2048


def test_small_tensors_are_updated_as_adamw_does_and_large_ones_nearly_so():
    torch.manual_seed(0)
    ours = [torch.nn.Parameter(torch.randn(size)) for size in (100, 8192)]
    theirs = copy.deepcopy(ours)
    start = copy.deepcopy(ours)
    groups = [{"params": ours, "weight_decay": 0.1}]
    pair = Adam8bit(groups, lr=1e-2), torch.optim.AdamW(theirs, lr=1e-2, betas=(0.9, 0.95), weight_decay=0.1)
    for _ in range(10):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn_like(a) + a.detach()
            b.grad = a.grad.clone()
        for optimizer in pair:
            optimizer.step()
    assert torch.allclose(ours[0], theirs[0], atol=1e-5)
    apart = (ours[1] - theirs[1]).norm() / (theirs[1] - start[1]).norm()
    assert 0 < apart < 0.1
