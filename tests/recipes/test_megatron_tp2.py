"""megatron-tp2: split layers compute what whole ones do, and the guard notices a missing sum."""

import threading

import pytest
import torch
import torch.distributed as dist

from reproduce.recipes.blocks import counting
from tests.recipes.conftest import context_of, failed, part

SLUG = "megatron-tp2"
equality, split = (part(SLUG, name) for name in ("equality", "split"))
CPU = torch.device("cpu")


@pytest.fixture
def two_ways(monkeypatch):
    """Both halves as threads of this process, which meet where they would sum; runs `work(rank)` in each."""
    meeting, parts = threading.Barrier(2, timeout=20), [None, None]

    def summed(self, x):
        if self.size == 1 or not self.talks:
            return x
        parts[self.rank] = x
        meeting.wait()
        total = parts[0] + parts[1]
        meeting.wait()
        return x.copy_(total)

    monkeypatch.setattr(split.Ways, "summed", summed)

    def run(work):
        found = [None, None]
        threads = [
            threading.Thread(target=lambda rank=rank: found.__setitem__(rank, work(rank)))
            for rank in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return found

    return run


def output(ways):
    x, _ = split.data(equality.SHAPE, 2, 16, CPU, torch.float64)
    return split.stack(equality.SHAPE, ways, CPU, torch.float64)(x).detach()


def test_both_halves_give_the_whole_stacks_output(two_ways):
    whole = output(split.Ways())
    for found in two_ways(lambda rank: output(split.Ways(2, rank))):
        assert torch.allclose(found, whole, rtol=1e-12)


def test_halves_that_do_not_talk_give_another_output():
    assert not torch.allclose(output(split.Ways(2, 0, talks=False)), output(split.Ways()), rtol=1e-3)


@pytest.mark.parametrize("broken", [None, "Spread", "Gathered"])
def test_the_guard_notices_a_gradient_that_is_scaled_wrongly(broken, monkeypatch):
    if broken:
        function = getattr(split, broken)
        right = function.backward
        monkeypatch.setattr(
            function, "backward", staticmethod(lambda ctx, g: (right(ctx, g)[0] * 1.01, None))
        )
    exact = equality._results
    whole = {}

    def results(context, ways):  # the reference is made once, before anything is broken
        return whole.setdefault("exact", exact(context, ways))

    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        context = context_of(SLUG)
        with monkeypatch.context() as unbroken:
            if broken:
                unbroken.setattr(function, "backward", staticmethod(right))
            results(context, split.Ways())
        calls = iter([exact, results])
        monkeypatch.setattr(equality, "_results", lambda context, ways: next(calls)(context, ways))
        equality.check(context)
    finally:
        dist.destroy_process_group()
    expected = {"same_input_gradient", "same_weight_gradients"} if broken else set()
    assert failed(context) == expected


def test_flop_are_those_of_the_products():
    shape = split.Shape(2, 64, 4)
    stack = split.stack(shape, split.Ways(), CPU, torch.float32)
    x, arriving = split.data(shape, 2, 16, CPU, torch.float32)
    products = 3 * shape.layers * 2 * 16 * 24 * shape.width**2
    counted = counting.flop(lambda: stack(x).backward(arriving))
    assert shape.flop(2, 16) == products + 3 * shape.layers * 2 * 16 * 4 * 16 * shape.width
    # The first layer's input needs no gradient; attention's backward multiplies once more than the formula says.
    assert counted == pytest.approx(shape.flop(2, 16), rel=0.15)
