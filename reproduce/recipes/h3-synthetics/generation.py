"""Tokens a second at 2.7B shape, random weights: 30 H3 layers and two of attention, against attention."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from reproduce.recipes.blocks.decodestack import Shape, Stack, normed
from reproduce.recipes.blocks.decoding import DECODE, capture
from reproduce.recipes.blocks.statespace import FREQUENCIES, TAPS, Diagonal, Shift
from reproduce.recipes.context import Context, curve, level
from reproduce.recipes.intervals import Interval
from reproduce.recipes.roofline import Probe
from reproduce.recipes.toolbox import Comparison, compare, profile

from . import recurrence

SHAPES = {
    "tiny": Shape(4, 64, 2, 2, 32, 256, vocabulary=256),
    "2.7B": Shape(32, 2560, 20, 20, 128, 10_240, vocabulary=50_257),
}
CLAIMED = 2.4


@dataclass
class Hybrid:
    """A stack in which all layers but `attention` mix with an H3 state in place of attention."""

    stack: Stack
    attention: tuple[int, int]
    states: dict[int, recurrence.State]

    @classmethod
    def of(cls, stack: Stack, batch: int, device: torch.device) -> "Hybrid":
        """Shares the stack's weights and caches; attention in the second layer and after the middle."""
        shape, kept = stack.shape, (1, stack.shape.layers // 2 + 1)
        dtype = stack.caches[0].keys.dtype
        parts = (Shift(shape.width).to(device), Diagonal(shape.width).to(device))
        free = [layer for layer in range(shape.layers) if layer not in kept]
        states = {layer: recurrence.State.of(*parts, batch, dtype) for layer in free}
        fused = _compiled(recurrence.advance, device)
        for state in states.values():
            state.fused = fused
        return cls(stack, kept, states)

    def step(self, x: torch.Tensor, position: int) -> torch.Tensor:
        """The next token of each sequence, (batch, width) to logits; the stack's step, but for the mixing."""
        x, stack = x.clone(), self.stack
        for layer, weights in enumerate(stack.layers):
            mixed = self._mix(layer, normed(x) @ weights["qkv"], position)
            x.addmm_(mixed.to(x.dtype), weights["out"])
            x.addmm_(stack._hidden(normed(x) @ weights["up"]), weights["down"])
        return normed(x) @ stack.head

    def _mix(self, layer: int, qkv: torch.Tensor, position: int) -> torch.Tensor:
        if layer in self.states:
            return self.states[layer].step(*qkv.chunk(3, dim=1), position)
        q, k, v = self.stack._heads(qkv)
        cache = self.stack.caches[layer]
        cache.put(position, k, v)
        return self.stack.attend(q[:, :, None], *cache.upto(position + 1)).flatten(1)


def measure(context: Context, ceilings: Probe) -> None:
    """Measures hybrid_throughput at the longest context; charts it over contexts."""
    shape, batch, contexts = SHAPES[context["shape"]], context["sequences"], sorted(context["contexts"])
    dtype = torch.bfloat16 if context.device.type == "cuda" else torch.float32
    stack = Stack.random(shape, batch, contexts[-1], dtype, context.device)
    stack.choose(context.log, contexts[-1])
    hybrid = Hybrid.of(stack, batch, context.device)
    x = torch.randn(batch, shape.width, dtype=dtype, device=context.device)
    found = [_compare(context, stack, hybrid, x, tokens) for tokens in contexts]
    limits = [_least(shape, batch, tokens, dtype, ceilings) for tokens in contexts]
    _measure(context, found[-1], limits[-1], contexts[-1])
    context.chart(
        "generation",
        "Generation speed at 2.7B shape, hybrid over Transformer",
        ("Tokens before", "tokens", True),
        ("Throughput gain", "x", False),
        [
            curve("measured", contexts, [comparison.speedup("hybrid") for comparison in found]),
            {"label": "roofline limit", "x": contexts, "y": [slow / fast for slow, fast in limits]},
            level("claimed by the paper", contexts, CLAIMED),
        ],
    )


def _compiled(work: Callable[..., torch.Tensor], device: torch.device) -> Callable[..., torch.Tensor]:
    return torch.compile(work, backend="inductor" if device.type == "cuda" else "eager", dynamic=False)


def _compare(context: Context, stack: Stack, hybrid: Hybrid, x: torch.Tensor, tokens: int) -> Comparison:
    arms = {
        name: capture(partial(model.step, x, tokens - 1), context.device)
        for name, model in (("attention", stack), ("hybrid", hybrid))
    }
    last = tokens == max(context["contexts"])
    how = profile(context.preset, DECODE, max_s=3.0 if last else 0.6)
    found = compare(arms, "attention", how, context.device)
    if last:
        context.keep("generation", found)
    else:
        context.samples[f"generation, {tokens} tokens"] = dict(found.samples)
    return found


def _least(shape: Shape, batch: int, tokens: int, dtype: torch.dtype, ceilings: Probe) -> tuple[float, float]:
    """Least seconds of a step with attention alone, and of the hybrid."""
    size = dtype.itemsize
    slow = ceilings.least_time(shape.step_flop(batch, tokens), shape.step_bytes(batch, tokens, size))
    state = TAPS * size + 2 * FREQUENCIES * 4 * 2  # the ring is read, the complex state read and written
    free = shape.layers - 2
    moved = size * (shape.weights + batch * shape.cached(tokens) * 2 / shape.layers)
    moved += free * batch * shape.width * state
    return slow, ceilings.least_time(2 * batch * shape.weights, moved)


def _measure(context: Context, found: Comparison, least: tuple[float, float], tokens: int) -> None:
    slow, fast = found.median("attention"), found.median("hybrid")
    context.measure(
        "hybrid_throughput",
        found.speedup("hybrid"),
        predicted=least[0] / least[1],
        predicted_note="Weights once, and each sequence's keys, values and states; "
        f"{least[0] * 1e3:.3g} ms against {least[1] * 1e3:.3g} ms a step.",
        noise=found.noise(),
        detail={
            "fraction_of_limit": {
                "candidate": least[1] / fast.value * 1e3,
                "baseline": least[0] / slow.value * 1e3,
            },
            "tokens_before": tokens,
            "tokens_per_s": {"attention": _rate(context, slow), "hybrid": _rate(context, fast)},
            "arms": found.figures(),
        },
    )


def _rate(context: Context, milliseconds: Interval) -> float:
    return context["sequences"] / milliseconds.value * 1e3
