"""RWKV: the scan is the paper's formula, steps continue it, and what is kept does not grow."""

import torch

from reproduce.recipes.memory import tensor_bytes
from tests.recipes.conftest import context_of, failed, part

SLUG = "rwkv-constant-state"
wkv, exactness, model = (part(SLUG, name) for name in ("wkv", "exactness", "model"))
operations, quality = (part(SLUG, name) for name in ("operations", "quality"))
CPU = torch.device("cpu")


def inputs(n=13, width=5, dtype=torch.float64):
    k, v = (torch.randn(2, n, width, dtype=dtype) for _ in range(2))
    return k, v, torch.rand(width, dtype=dtype) + 0.1, torch.randn(width, dtype=dtype)


def test_the_formula_is_the_papers():
    k, v, w, u = inputs(4, 1)
    weights = [torch.exp(-(2 - i) * w + k[0, i]) for i in range(3)] + [torch.exp(u + k[0, 3])]
    expected = sum(a * b for a, b in zip(weights, v[0], strict=True)) / sum(weights)
    torch.testing.assert_close(wkv.exact(k, v, w, u)[0, 3], expected)


def test_a_scan_in_two_parts_is_one_scan():
    k, v, w, u = inputs()
    nothing = wkv.empty(2, 5, torch.float64, CPU)
    first, state = wkv.scan(k[:, :6], v[:, :6], w, u, nothing)
    second, _ = wkv.scan(k[:, 6:], v[:, 6:], w, u, state)
    torch.testing.assert_close(torch.cat((first, second), 1), wkv.exact(k, v, w, u))


def test_the_scan_has_the_formulas_gradients():
    tensors = [x.requires_grad_() for x in inputs(7, 3)]
    nothing = wkv.empty(2, 3, torch.float64, CPU)
    found = torch.autograd.grad(wkv.scan(*tensors, nothing)[0].sin().sum(), tensors)
    right = torch.autograd.grad(wkv.exact(*tensors).sin().sum(), tensors)
    for one, other in zip(found, right, strict=True):
        torch.testing.assert_close(one, other)


def test_the_guards_see_a_lost_bonus_and_an_unscaled_sum(monkeypatch):
    context = context_of(SLUG)
    exactness.check(context)
    assert failed(context) == set()
    honest = wkv.average
    monkeypatch.setattr(wkv, "average", lambda before, k, v, u: honest(before, k, v, 0 * u))
    exactness.check(context)
    assert "scan_is_exact" in failed(context)


def test_the_guard_sees_a_step_that_forgets_the_token_before(monkeypatch):
    context = context_of(SLUG)
    honest = operations.mix
    monkeypatch.setattr(
        operations, "mix", lambda x, before, shares: honest(x, before, torch.ones_like(shares))
    )
    exactness.check(context)
    assert failed(context) == {"step_is_parallel"}


def test_what_is_kept_does_not_grow_but_changes():
    torch.manual_seed(0)
    rwkv = model.Rwkv.random(2, 32, 1, 8, torch.float32, CPU)
    before, copies = tensor_bytes(rwkv.kept()), [t.clone() for t in rwkv.kept()]
    rwkv.prefill(torch.randn(1, 50, 32))
    assert tensor_bytes(rwkv.kept()) == before == 5 * 4 * 32 * 2
    assert all(not torch.equal(a, b) for a, b in zip(copies, rwkv.kept(), strict=True))


def test_both_small_models_have_as_many_matrix_weights():
    sizes = {
        sum(
            p.numel()
            for n, p in quality.build(arm, 64, 32, 0).named_parameters()
            if n.endswith("weight") and p.dim() == 2
        )
        for arm in quality.ARMS
    }
    assert len(sizes) == 1
