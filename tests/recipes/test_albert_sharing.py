"""ALBERT's counts are those published, sharing sums gradients, and a step trains both losses."""

import pytest
import torch

from tests.recipes.conftest import context_of, failed, part, value

SLUG = "albert-sharing"
counts, shapes, sharing, speed = (part(SLUG, name) for name in ("counts", "shapes", "sharing", "speed"))
CPU = torch.device("cpu")


def test_the_counts_are_those_of_the_published_checkpoints():
    context = context_of(SLUG)
    counts.count(context)
    assert value(context, "parameters_published") == 335_141_888 / 17_683_968
    heads = {"bert": 1024 * 1024 + 3 * 1024 + 30_000 + 2050, "albert": 128 * 1024 + 3 * 128 + 30_000 + 2050}
    bert = 335_141_888 - 522 * 1024 + heads["bert"]
    assert value(context, "parameters") == bert / (17_683_968 + heads["albert"])
    assert value(context, "gradient_bytes") == pytest.approx(1 / value(context, "parameters"))


@pytest.mark.parametrize("broken", [False, True])
def test_a_clone_with_one_other_layer_fails_both_guards(monkeypatch, broken):
    if broken:
        true = sharing.unshared

        def other(model, shape):
            apart = true(model, shape)
            apart.layers[2].attention.qkv.weight.data.mul_(1.01)
            return apart

        monkeypatch.setattr(sharing, "unshared", other)
    context = context_of(SLUG)
    sharing.check(context)
    assert failed(context) == ({"same_features", "gradient_is_the_sum"} if broken else set())


def test_every_parameter_of_both_models_gets_a_gradient_and_moves():
    for shape in shapes.SHAPES["tiny"].values():
        trainer = speed.Trainer(shape, CPU)
        before = [p.detach().clone() for p in trainer.model.parameters()]
        trainer.step(speed.Batch.random(3, 32, shape.vocabulary, CPU))  # odd: pairs do not cancel
        moved = [not torch.equal(a, b) for a, b in zip(before, trainer.model.parameters(), strict=True)]
        assert all(moved)


def test_masked_places_are_fifteen_percent_of_each_sequence_and_differ():
    batch = speed.Batch.random(3, 40, 100, CPU)
    assert batch.masked.unique().numel() == 3 * 6
    assert (batch.masked // 40).bincount().tolist() == [6, 6, 6]


def test_the_limit_counts_equal_products_but_other_optimizers():
    ceilings = speed.Probe(half=1e12, single=1e12, eighth=None, copy=1e9, launch=0.0)
    batch = speed.Batch.random(2, 32, 1024, CPU)
    least = {n: speed.Trainer(s, CPU).least(batch, ceilings) for n, s in shapes.SHAPES["tiny"].items()}
    assert least["bert"] > 2 * least["albert"]
