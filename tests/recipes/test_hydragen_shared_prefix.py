"""A shared prefix: the divided attention is the undivided one, and guards notice when it is not."""

import pytest
import torch

from reproduce.recipes.roofline import Probe
from tests.recipes.conftest import context_of, failed, part

SLUG = "hydragen-shared-prefix"


def check():
    context = context_of(SLUG)
    part(SLUG, "numerics").check(context, torch.float32)
    return failed(context)


def test_divided_attention_is_the_undivided_one():
    assert check() == set()


@pytest.mark.parametrize("bias", [0.01, -0.01])
def test_log_sums_that_are_one_percent_off_fail(monkeypatch, bias):
    attention = part(SLUG, "attention")
    right = attention.merge
    monkeypatch.setattr(attention, "merge", lambda a, b: right((a[0], a[1] + bias), b))
    assert {"hydragen_fp32", "shared_fp32"} <= check()


def test_a_suffix_that_is_left_out_fails(monkeypatch):
    monkeypatch.setattr(part(SLUG, "attention"), "merge", lambda a, b: a[0])
    assert {"hydragen_fp32", "shared_fp32"} <= check()


def test_merging_is_exact_in_double_precision():
    attention = part(SLUG, "attention")
    q, k, v = (torch.randn(2, 3, n, 4, dtype=torch.float64) for n in (1, 9, 9))
    parts = [attention.partial(q, k[:, :, at], v[:, :, at]) for at in (slice(0, 5), slice(5, 9))]
    assert torch.allclose(attention.merge(*parts), attention.partial(q, k, v)[0], atol=1e-14)


def test_a_layer_decodes_alike_whatever_the_caches():
    layer = part(SLUG, "layer").Layer(2, 16, 64, torch.float32, torch.device("cpu"))
    x = torch.randn(5, 32)
    caches = part(SLUG, "attention").Caches.random(5, 20, 4, (2, 16), x)
    copies = caches.replicated()
    steps = [(caches, caches.hydragen), (caches, caches.shared), (copies, copies.undivided)]
    found = [layer.step(x, store, attend) for store, attend in steps]
    assert all(torch.allclose(found[0], other, atol=1e-5) for other in found[1:])


def test_by_bytes_the_limit_is_that_of_the_paper():
    # Arithmetic for nothing: attention alone is bound by (P + S) B / (P + B S).
    grid, context = part(SLUG, "grid"), context_of(SLUG, suffix=16)
    layer = part(SLUG, "layer").Layer(4, 32, 64, torch.float32, torch.device("cpu"))
    ceilings = Probe(half=1e30, single=1e30, eighth=None, copy=1e9, launch=0.0)
    found = grid.least(context, ceilings, layer, grid.Cell(32, 512), "attention")
    assert found["baseline"] / found["candidate"] == pytest.approx((512 + 16) * 32 / (512 + 32 * 16))
