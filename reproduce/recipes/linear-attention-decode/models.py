"""The paper's image model with random weights, in four ways of decoding; all share the same weights."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional

from reproduce.recipes.blocks.decodestack import (
    Shape,
    Stack,
    normed,
    plain,
    random_caches,
    random_weights,
)
from reproduce.recipes.blocks.growing import Growing
from reproduce.recipes.context import Context

from .forms import Update

HEAD, PIXELS = 32, 256
Weights = tuple[list[dict[str, torch.Tensor]], torch.Tensor]


def shape_of(context: Context) -> Shape:
    """Heads of width 32, a feed-forward of four widths, 256 values of a pixel."""
    width = context["width"]
    heads = width // HEAD
    return Shape(context["layers"], width, heads, heads, HEAD, 4 * width, vocabulary=PIXELS)


def dtype_of(device: torch.device) -> torch.dtype:
    """bf16 on a GPU."""
    return torch.bfloat16 if device.type == "cuda" else torch.float32


def weights_of(context: Context) -> Weights:
    """Random weights, for all ways."""
    return random_weights(shape_of(context), dtype_of(context.device), context.device)


def cached(context: Context, weights: Weights, batch: int, length: int) -> Stack:
    """Softmax attention over static buffers, with the fastest kernels."""
    device = context.device
    caches = random_caches(shape_of(context), batch, length, dtype_of(device), device)
    stack = Stack(shape_of(context), *weights, caches)
    stack.choose(context.log, length)
    return stack


def growing(stack: Stack) -> Stack:
    """Softmax attention written out, over a cache that grows by copying: the paper's stateful softmax."""
    caches = [Growing(cache.keys, cache.values) for cache in stack.caches]
    return Stack(stack.shape, stack.layers, stack.head, caches, attend=plain)


@dataclass
class Recurrent:
    """Linear attention: for each layer a state (batch, heads, 32, 32) and sums (batch, heads, 32), fp32."""

    layers: Sequence[dict[str, torch.Tensor]]
    head: torch.Tensor
    states: list[tuple[torch.Tensor, torch.Tensor]]
    update: Update

    @classmethod
    def empty(cls, context: Context, weights: Weights, batch: int, update: Update) -> "Recurrent":
        """Before the first token; the sums begin at one, so that any number of steps may follow."""
        size, device = (batch, context["width"] // HEAD, HEAD), context.device
        states = [
            (torch.randn(*size, HEAD, device=device), torch.ones(size, device=device)) for _ in weights[0]
        ]
        return cls(*weights, states, update)

    def step(self, x: torch.Tensor) -> torch.Tensor:
        """The next token of each sequence: (batch, width) to logits."""
        x = x.clone()
        for weights, (state, sums) in zip(self.layers, self.states, strict=True):
            q, k, v = (normed(x) @ weights["qkv"]).unflatten(1, (3, -1, HEAD)).unbind(1)
            x.addmm_(self.update(state, sums, q, k, v).flatten(1), weights["out"])
            x.addmm_(functional.gelu(normed(x) @ weights["up"]), weights["down"])
        return normed(x) @ self.head


def recomputed(weights: Weights, x: torch.Tensor) -> torch.Tensor:
    """Softmax attention over all tokens so far, (batch, n, width), from scratch; logits of the last."""
    x = x.clone()
    unseen = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).triu(1)
    for layer in weights[0]:
        q, k, v = (normed(x) @ layer["qkv"]).unflatten(-1, (3, -1, HEAD)).permute(2, 0, 3, 1, 4)
        scores = (q @ k.transpose(-2, -1) * HEAD**-0.5).masked_fill_(unseen, float("-inf"))
        mixed = torch.softmax(scores, dim=-1) @ v
        x += mixed.transpose(1, 2).flatten(2) @ layer["out"]
        x += functional.gelu(normed(x) @ layer["up"]) @ layer["down"]
    return normed(x[:, -1]) @ weights[1]
