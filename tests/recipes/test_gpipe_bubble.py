"""gpipe-bubble: a pipeline's gradients are the whole model's; the formulas are those of the paper's table."""

import pytest
import torch
import torch.distributed as dist

from tests.recipes.conftest import context_of, failed, part

SLUG = "gpipe-bubble"
equality, pipeline, throughput = (part(SLUG, name) for name in ("equality", "pipeline", "throughput"))


@pytest.fixture(autouse=True)
def one_process():
    """A pipeline of one stage: micro-batches and recomputation, nothing sent."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_gradients_add_up_over_micro_batches():
    context = context_of(SLUG)
    equality.check(context)
    assert len(context.guards) == 2
    assert failed(context) == set()


def test_the_guard_notices_a_block_that_is_left_out(monkeypatch):
    whole = pipeline.Stage.forward

    def without_first(self, x):
        kept, self.blocks = self.blocks, self.blocks[1:]
        found = whole(self, x)
        self.blocks = kept
        return found + 0 * sum(p.sum() for p in kept[0].parameters())

    monkeypatch.setattr(pipeline.Stage, "forward", without_first)
    context = context_of(SLUG)
    equality.check(context)
    assert failed(context) == {"same_gradients_1", "same_gradients_4"}


def test_two_stages_one_after_the_other_are_the_whole_model():
    x, _ = pipeline.data(equality.SHAPE, 2, torch.device("cpu"), torch.float32)
    every = pipeline.blocks(equality.SHAPE, x.device, x.dtype, seed=0)
    halves = [
        pipeline.blocks(equality.SHAPE, x.device, x.dtype, 0, which) for which in (range(2), range(2, 4))
    ]
    for ours, theirs in zip([*halves[0], *halves[1]], every, strict=True):
        assert torch.equal(ours(x), theirs(x))


def test_ideal_pipelines():
    assert throughput.bubble(4, 2) == pytest.approx(0.2)
    assert throughput.gain(4, 2) == pytest.approx(1.6)
    assert throughput.gain(32, 2) == pytest.approx(64 / 33)


def test_idle_time_is_what_lies_between_computations():
    clock = pipeline.Clock(torch.device("cpu"), [(0.0, 2.0), (5.0, 6.0)])
    assert clock.busy() == 3.0
