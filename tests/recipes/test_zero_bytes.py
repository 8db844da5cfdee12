"""zero-bytes: every stage learns what plain data parallelism learns, and holds what the formula says."""

import pytest
import torch
import torch.distributed as dist

from tests.recipes.conftest import context_of, failed, part

SLUG = "zero-bytes"
equality, footprint, model, wire, zero = (
    part(SLUG, name) for name in ("equality", "footprint", "model", "wire", "zero")
)


@pytest.fixture(autouse=True)
def one_process():
    """A world of one: collectives run, and nothing is split in fact."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


class Twins:
    """A group of two whose other half always sends what this half sends."""

    size, rank, sent = 2, 1, 0.0

    def all_reduce(self, whole):
        whole.mul_(2)

    def reduce_scatter(self, whole):
        return self.part_of(whole) * 2

    def all_gather(self, whole, part):
        whole.copy_(torch.cat([part, part]))

    part_of = wire.Wire.part_of


def test_all_stages_learn_the_same():
    context = context_of(SLUG)
    equality.check(context)
    assert len(context.guards) == 3
    assert failed(context) == set()


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_the_guard_notices_gradients_that_are_not_summed(stage, monkeypatch):
    honest = wire.Wire.reduce_scatter
    monkeypatch.setattr(wire.Wire, "reduce_scatter", lambda self, whole: honest(self, whole) * 1.01 + 1e-3)
    context = context_of(SLUG)
    equality.check(context)
    assert f"stage_{stage}_learns_the_same" in failed(context)


@pytest.mark.parametrize(("stage", "bytes_held"), [(0, 16), (1, 10), (2, 9), (3, 8)])
def test_two_processes_hold_what_the_formula_says(stage, bytes_held):
    shape, device = model.SHAPES["tiny"], torch.device("cpu")
    trainer = zero.Trainer(model.modules(shape, device, zero.HALF), Twins(), stage)
    for unit in trainer.units:
        size = zero.HALF.itemsize * sum(map(torch.Size.numel, unit.shapes))
        with unit.gathered(), unit.gradients():
            assert sum(p.numel() for p in unit.parameters) * zero.HALF.itemsize == size
        unit.update()
    held = sum(tensor.numel() * tensor.element_size() for tensor in trainer.held())
    assert held / model.size(shape) == pytest.approx(bytes_held, rel=1e-3)
    assert footprint.formula(stage, 2) == bytes_held


def test_a_process_alone_sends_nothing_and_the_guard_notices_a_forgotten_tensor(monkeypatch):
    context = context_of(SLUG)
    whole = zero.Unit.held
    monkeypatch.setattr(zero.Unit, "held", lambda self: whole(self)[1:])
    shape = model.SHAPES["tiny"]
    held, sent = footprint._held(context, shape, 2, wire.Wire(dist.group.WORLD), guarded=True)
    assert (round(held), sent) == (16, 0)
    assert failed(context) == {"inventory_stage_2"}
