"""2:4 sparsity: the right zeros, the same product, and zeros that stay while the rest learns."""

from types import SimpleNamespace

import pytest
import torch

from tests.recipes.conftest import context_of, failed, part, value

SLUG = "nm-sparsity-2to4"
sparse, products, language = (part(SLUG, name) for name in ("sparse", "products", "language"))


def test_the_two_largest_of_four_are_kept_even_when_all_are_equal():
    weight = torch.tensor([[1.0, -4.0, 3.0, 0.5, 2.0, 2.0, 2.0, 2.0]])
    assert sparse.mask(weight)[0, :4].tolist() == [False, True, True, False]
    assert sparse.mask(weight)[0, 4:].sum() == 2


def test_sparse_16_bit_weights_take_nine_sixteenths_of_the_bytes():
    weight = torch.randn(8, 16, dtype=torch.bfloat16)
    assert sparse.stored_bytes(weight, sparse.prune(weight)) / 256 == products.SPARSE_BYTES


BREAKS = {
    "equals_masked_dense": ("compress", lambda pruned: pruned * 1.01),
    "nonzeros_in_four": ("prune", lambda weight: weight),
    "keeps_the_largest": ("prune", lambda weight: weight * ~sparse.mask(weight)),
}


@pytest.mark.parametrize("guard", [None, *BREAKS])
def test_a_broken_product_or_pruning_fails_its_guard(monkeypatch, guard):
    if guard:
        monkeypatch.setattr(sparse, *BREAKS[guard])
    context = context_of(SLUG)
    sparse.check(context, torch.float32)
    assert guard in failed(context) if guard else not failed(context)
    assert value(context, "weight_bytes") == pytest.approx(0.53125)  # 32-bit values, 2-bit places


def test_the_products_of_llamas_layer_hold_all_its_matrices():
    shapes = products.layer_shapes("llama-7b")
    assert sum(outputs * inputs for outputs, inputs in shapes) == 202_383_360 - 2 * 4096  # without its norms


def test_many_rows_are_bound_by_arithmetic_and_few_by_bytes():
    ceilings = products.Probe(half=800e12, single=1e12, eighth=None, copy=4e12, launch=0.0)
    many, few = (products._least(ceilings, [(8192, 8192)], rows, torch.bfloat16) for rows in (8192, 16))
    assert many["dense"] / many["sparse"] == pytest.approx(2.0)
    assert few["dense"] / few["sparse"] == pytest.approx(1 / 0.5625, rel=0.01)


def test_zeros_stay_zero_while_the_rest_learns():
    context = context_of(SLUG)
    model = language.prune(language.TinyGPT(language._shape(context)))
    layer = model.blocks[0].feed_forward.up
    before = layer.weight.detach().clone()
    text = language.Text.from_bytes(bytes(range(256)) * 4, bytes(range(256)), torch.device("cpu"))
    language._learn(model, text, 2, 1e-2, 0)
    assert torch.equal(layer.weight == 0, before == 0)
    assert (before == 0).float().mean() == 0.5
    assert not torch.equal(layer.weight, before)


def test_a_search_is_for_the_layout_and_the_split_that_are_then_used(monkeypatch):
    """The operation gets what the search found, and the search the same layout."""
    asked, used = [], []

    def search(packed, x, bias, alpha, kind, by_rows):
        asked.append(by_rows)
        return 7, 2, 1, 99

    def multiply(packed, x, bias, alpha, kind, by_rows, *algorithm):
        used.append((by_rows, *algorithm))
        found = packed @ x
        return found.t() if by_rows else found

    monkeypatch.setattr(torch._C, "_cusparselt", SimpleNamespace(mm_search=search), raising=False)
    monkeypatch.setattr(torch, "_cslt_sparse_mm", multiply)
    x, dense = torch.randn(3, 8), torch.randn(5, 8)
    weight = SimpleNamespace(packed=dense, meta=None)
    for by_rows in (True, False):
        found = sparse.product(x, weight, sparse.searched(context_of(SLUG), weight, x, by_rows))
        assert torch.allclose(found, x @ dense.t(), atol=1e-5)
    assert asked == [True, False]
    assert used == [(True, 7, 2, 1), (False, 7, 2, 1)]
