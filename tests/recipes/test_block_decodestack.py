"""The decode stack: it computes a transformer, its counts are those of its tensors, a growing cache is the same."""

from dataclasses import replace

import pytest
import torch

from reproduce.recipes.blocks.decodestack import Shape, Stack, normed, plain
from reproduce.recipes.blocks.decoding import KeyValues
from reproduce.recipes.blocks.growing import Growing, dense
from reproduce.recipes.memory import tensor_bytes

CPU = torch.device("cpu")
SHAPE = Shape(
    layers=2, width=32, heads=4, kv_heads=2, head_width=8, hidden=48, gated=True, memory=5, vocabulary=11
)


def stack_of(shape, batch=3, capacity=9):
    torch.manual_seed(5)
    return Stack.random(shape, batch, capacity, torch.float64, CPU)


def attended(shape, q, k, v):
    """Row by row and head by head: (batch, heads, width) queries over (batch, kv heads, length, width)."""
    rows = []
    for row in range(len(q)):
        heads = []
        for head in range(shape.heads):
            shared = head // (shape.heads // shape.kv_heads)
            weights = torch.softmax(k[row, shared] @ q[row, head] / shape.head_width**0.5, 0)
            heads.append(weights @ v[row, shared])
        rows.append(torch.cat(heads))
    return torch.stack(rows)


def reference(stack, x, position):
    """The same step, slowly."""
    shape = stack.shape
    for number, weights in enumerate(stack.layers):
        qkv = (normed(x) @ weights["qkv"]).unflatten(1, (-1, shape.head_width))
        q, k, v = qkv.split((shape.heads, shape.kv_heads, shape.kv_heads), 1)
        keys = torch.cat((stack.caches[number].keys[:, :, :position], k[:, :, None]), 2)
        values = torch.cat((stack.caches[number].values[:, :, :position], v[:, :, None]), 2)
        x = x + attended(shape, q, keys, values) @ weights["out"]
        q = (normed(x) @ weights["cross_q"]).unflatten(1, (-1, shape.head_width))
        x = x + attended(shape, q, *stack.memories[number].upto(shape.memory)) @ weights["cross_out"]
        gate, value = (normed(x) @ weights["up"]).chunk(2, 1)
        x = x + (torch.nn.functional.gelu(gate) * value) @ weights["down"]
    return normed(x) @ stack.head


def test_a_step_is_a_transformer():
    stack, x = stack_of(SHAPE), torch.randn(3, 32, dtype=torch.float64)
    expected = reference(stack, x, 6)
    torch.testing.assert_close(stack.step(x, 6), expected)


def test_a_growing_cache_gives_the_same():
    stack, x = stack_of(replace(SHAPE, kv_heads=4, memory=0)), torch.randn(3, 32, dtype=torch.float64)
    growing = replace(stack, caches=[_grown(c, 6) for c in stack.caches], attend=plain)
    torch.testing.assert_close(growing.step(x, 6), stack.step(x, 6), rtol=1e-5, atol=1e-5)


def test_what_a_growing_cache_copies_is_dense():
    """PyTorch copies slices of longer buffers number by number, several times slower."""
    cache = Growing(*torch.randn(2, 3, 4, 9, 8))
    cache.put(6, *torch.randn(2, 3, 12, 8)[:, :, 4:8])  # a slice of a wider product
    assert all(part.is_contiguous() for part in cache.latest)
    assert dense(cache.keys, 6).is_contiguous()
    assert dense(cache.keys, 6).data_ptr() == cache.keys.data_ptr()


def _grown(cache: KeyValues, tokens: int) -> Growing:
    """A growing cache with the first tokens of a static one."""
    keys, values = torch.zeros(2, *cache.keys.shape, dtype=cache.keys.dtype)
    for buffer, numbers in zip((keys, values), cache.upto(tokens), strict=True):
        dense(buffer, tokens).copy_(numbers)
    return Growing(keys, values)


@pytest.mark.parametrize("shape", [SHAPE, replace(SHAPE, memory=0, gated=False, vocabulary=0)])
def test_counts_are_those_of_the_tensors(shape):
    stack = stack_of(shape, capacity=7)
    matrices = [matrix for layer in stack.layers for matrix in layer.values()]
    kept = [t for c in [*stack.caches, *stack.memories] for t in (c.keys, c.values)]
    head = [] if stack.head is None else [stack.head]
    assert tensor_bytes(matrices + head) + tensor_bytes(kept) == shape.step_bytes(3, 7, itemsize=8)


def test_the_fastest_kernels_change_nothing():
    stack, x = stack_of(SHAPE), torch.randn(3, 32, dtype=torch.float64)
    before = stack.step(x, 8)
    stack.choose(print, 9)
    torch.testing.assert_close(stack.step(x, 8), before, rtol=1e-5, atol=1e-5)
    assert set(stack.chosen) == {"own", "encoder"}
