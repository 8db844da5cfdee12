"""The decoding block: every way of attending is right, a wrong one is left out, and time is split as said."""

import gc
import weakref
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch

from reproduce.recipes.blocks import decoding, flashdecode, replaying
from reproduce.recipes.blocks.decodestack import Shape, Stack

CPU = torch.device("cpu")


def tensors(heads=8, kv_heads=2, queries=1, length=33, width=16):
    q = torch.randn(3, heads, queries, width)
    k, v = (torch.randn(3, kv_heads, length, width) for _ in range(2))
    return q, k, v


def plain(q, k, v):
    """Attention in 64 bits with every key head repeated for its queries."""
    k, v = (x.double().repeat_interleave(q.shape[1] // k.shape[1], 1) for x in (k, v))
    return torch.softmax(q.double() @ k.transpose(-2, -1) / q.shape[-1] ** 0.5, -1) @ v


@pytest.mark.parametrize(("heads", "kv_heads", "queries"), [(4, 4, 1), (8, 2, 1), (8, 1, 1), (8, 2, 4)])
def test_every_way_is_attention(heads, kv_heads, queries):
    q, k, v = tensors(heads, kv_heads, queries)
    for attend in decoding.ways(CPU).values():
        torch.testing.assert_close(attend(q, k, v).double(), plain(q, k, v), rtol=1e-5, atol=1e-5)


def test_a_wrong_way_and_one_that_fails_are_left_out():
    lines = []

    def forgets_the_scale(q, k, v):
        return torch.softmax(q @ k.transpose(-2, -1), -1) @ v

    def fails(q, k, v):
        raise RuntimeError("no such kernel")

    tried = {"wrong": forgets_the_scale, "failing": fails, "right": decoding.grouped}
    choice = decoding.fastest([tensors(2, 2), tensors(2, 2)], CPU, lines.append, tried)
    assert choice.name == "right" and set(choice.milliseconds) == {"right"}
    assert [line.split(":")[0] for line in lines] == ["wrong", "failing"]
    with pytest.raises(RuntimeError):
        decoding.fastest([tensors(2, 2)], CPU, lines.append, {"failing": fails})


def test_a_way_that_other_lengths_do_not_suit_is_left_out():
    lines = []

    def even_only(q, k, v):
        if k.shape[2] % 2:
            raise RuntimeError("an odd number of keys")
        return decoding.grouped(q, k, v)

    def no_number(q, k, v):
        return decoding.grouped(q, k, v) * (1 if k.shape[2] == 32 else float("nan"))

    even, odd = tensors(length=32), tensors(length=5)
    tried = {"even": even_only, "no number": no_number, "right": decoding.grouped}
    assert set(decoding.fastest([even], CPU, lines.append, tried).milliseconds) == set(tried)
    choice = decoding.fastest([even], CPU, lines.append, tried, also=[odd])
    assert set(choice.milliseconds) == {"right"} and len(lines) == 2
    assert "an odd number of keys" in lines[0] and "nan" in lines[1]


def test_a_stack_takes_no_kernel_that_fails_where_it_is_to_decode(monkeypatch):
    def whole_only(q, k, v):
        if k.shape[2] < 8:
            raise RuntimeError("too few keys")
        return decoding.grouped(q, k, v)

    monkeypatch.setattr(decoding, "ways", lambda device: {"whole": whole_only, "right": decoding.grouped})
    monkeypatch.setattr(decoding, "_quickest", lambda *given: 1.0)
    stack = Stack.random(Shape(1, 32, 4, 2, 8, 48), 2, 8, torch.float32, CPU)
    for fewer, kernel in ((None, "whole"), (3, "right")):
        stack.choose(print, 8, fewer)
        assert stack.chosen["own"]["kernel"] == kernel


@pytest.fixture
def graphs(monkeypatch):
    """A device that records nothing but what a captured graph would be asked to do."""
    calls = []

    class Graph:
        def replay(self):
            calls.append("replay")

    nothing = lambda *given: nullcontext()  # noqa: E731
    stream = lambda *given: SimpleNamespace(wait_stream=lambda other: None)  # noqa: E731
    for name, fake in (
        *(("Stream", stream), ("current_stream", stream), ("stream", nothing), ("graph", nothing)),
        *(("CUDAGraph", Graph), ("synchronize", nothing)),
    ):
        monkeypatch.setattr(torch.cuda, name, fake)
    return calls


@pytest.mark.parametrize("record", [decoding.capture, replaying.replayed])
def test_what_a_graph_reads_lives_as_long_as_its_work(graphs, record):
    """A graph knows addresses only: were its inputs freed, it would read another's memory, or none."""
    works, alive = [], []
    for _ in range(2):
        cache = torch.zeros(4)
        alive.append(weakref.ref(cache))
        works.append(record(lambda cache=cache: cache.sum(), torch.device("cuda")))
    del cache
    gc.collect()
    assert all(tensor() is not None for tensor in alive)
    for number, work in enumerate(works):
        work(number)
    assert graphs == ["replay"] * 2
    del work, works
    gc.collect()
    assert all(tensor() is None for tensor in alive)  # and no longer


def test_static_buffers_never_move():
    cache = decoding.KeyValues.random((2, 4, 8, 16), torch.float32, CPU)
    place, token = cache.keys.data_ptr(), torch.ones(2, 4, 16)
    cache.put(3, token, 2 * token)
    keys, values = cache.upto(4)
    assert keys.data_ptr() == place and keys.shape[2] == 4
    assert (keys[:, :, 3] == 1).all() and (values[:, :, 3] == 2).all() and (keys[:, :, 2] != 1).any()


def test_midpoints_average_a_linear_cost_exactly():
    assert decoding.midpoints(3, 8) == [0, 1, 2]
    at = decoding.midpoints(128, 8)
    assert sum(position + 0.5 for position in at) / 8 == pytest.approx(
        sum(n + 0.5 for n in range(128)) / 128, abs=0.5
    )


def test_time_of_the_prompt_and_of_tokens_are_apart(monkeypatch):
    now = {"ms": 0.0}
    monkeypatch.setattr(decoding, "_mark", lambda device: now["ms"] / 1e3)

    def spend(milliseconds):
        now["ms"] += milliseconds

    found = decoding.pace(lambda: spend(50), [lambda call: spend(2)] * 10, CPU, repeats=3)
    assert found.first == pytest.approx([50] * 3) and found.each == pytest.approx([2] * 3)


def test_batches_end_at_the_first_that_does_not_fit():
    lines, tried = [], []

    def measure(batch):
        tried.append(batch)
        if batch > 4:
            raise torch.OutOfMemoryError
        return batch * 10

    assert decoding.over_batches([1, 4, 8, 16], measure, CPU, lines.append) == {1: 10, 4: 40}
    assert tried == [1, 4, 8] and len(lines) == 1


def test_splits_fill_the_processors_but_never_starve():
    assert flashdecode.splits_of(pairs=8192, length=128, processors=132) == 1
    assert flashdecode.splits_of(pairs=8, length=65536, processors=132) == 64
    assert flashdecode.splits_of(pairs=8, length=1024, processors=132) == 4


def test_the_first_that_is_right_is_taken():
    lines = []
    tried = {"failing": None, "wrong": 0.5, "right": 0.0, "later": 0.0}
    assert decoding.first_right(tried, lambda error: error + 0, 0.1, lines.append) == "right"
    assert [line.split(":")[0] for line in lines] == ["failing", "wrong"]
    assert decoding.first_right({"wrong": 0.5, "last": 0.7}, float, 0.1, lines.append) == "last"
