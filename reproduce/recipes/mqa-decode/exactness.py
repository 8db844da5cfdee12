"""Multi-query attention is multi-head attention whose key and value heads are all the same."""

from dataclasses import replace

import torch

from reproduce.recipes.blocks import decoding
from reproduce.recipes.blocks.decodestack import KeyValues, Shape, Stack
from reproduce.recipes.context import Context

LIMIT = 1e-5  # RECIPES, section 16
SHAPE = Shape(2, 64, 4, 1, 16, 96, memory=9, vocabulary=50)


def check(context: Context) -> None:
    """Guards a whole step with one shared head, in fp32, against tied heads in 64 bits."""
    shared = Stack.random(SHAPE, 3, 12, torch.float32, context.device)
    shared.attend = shared.attend_memory = decoding.grouped
    x = torch.randn(3, SHAPE.width, device=context.device)
    right = tied(shared).step(x.double(), 10)
    found = shared.step(x, 10)
    context.guard(
        "shared_is_tied",
        ((found - right).norm() / right.norm()).item(),
        LIMIT,
        "Relative difference of a step's logits, one shared key head in fp32 against tied heads in 64 bits.",
    )


def tied(stack: Stack) -> Stack:
    """The multi-head stack in 64 bits whose key and value heads are copies of the shared one."""
    heads, width = stack.shape.heads, stack.shape.head_width

    def repeated(weights: torch.Tensor) -> torch.Tensor:
        q, k, v = weights.double().split([heads * width, width, width], dim=1)
        return torch.cat((q, k.repeat(1, heads), v.repeat(1, heads)), dim=1)

    def copies(caches: list[KeyValues]) -> list[KeyValues]:
        return [KeyValues(*(t.double().repeat(1, heads, 1, 1) for t in (c.keys, c.values))) for c in caches]

    layers = [
        {name: repeated(m) if name == "qkv" else m.double() for name, m in layer.items()}
        for layer in stack.layers
    ]
    return Stack(
        replace(stack.shape, kv_heads=heads),
        layers,
        stack.head.double(),
        copies(stack.caches),
        copies(stack.memories),
        plain_in_double,
        plain_in_double,
    )


def plain_in_double(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Attention operation by operation, without a cast."""
    return torch.softmax(q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5, dim=-1) @ v
