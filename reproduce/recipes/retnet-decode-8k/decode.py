"""One decode step at a long context: RetNet against a Transformer of equal size with its key-value cache.

Both use the same memory for their random weights: 12 d^2 in each layer, cut differently.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import torch
from torch.nn import functional

from reproduce.recipes.blocks.decodestack import Shape, Stack, normed, plain, random_caches
from reproduce.recipes.blocks.decoding import DECODE, capture, over_batches, report
from reproduce.recipes.blocks.growing import Growing
from reproduce.recipes.context import Context, curve, level
from reproduce.recipes.memory import peak_bytes, tensor_bytes
from reproduce.recipes.roofline import Probe
from reproduce.recipes.toolbox import Comparison, Work, compare, profile

from . import retention

VOCABULARY = 8  # widths: 32 768 tokens at the full width
HEAD, KEY = 128, 256  # widths of the Transformer's heads, and of retention's queries and keys
CLAIMED = 8.4
LABELS = {"growing": "against a growing cache", "static": "against static buffers"}
Weights = list[dict[str, torch.Tensor]]


@dataclass
class RetNet:
    """Weights, and a state for each layer: (batch, heads, 256, 512) in fp32."""

    layers: Weights
    head: torch.Tensor
    states: Sequence[torch.Tensor]
    decay: torch.Tensor
    update: retention.Update

    def step(self, x: torch.Tensor) -> torch.Tensor:
        """The next token of each sequence: (batch, width) to logits."""
        x, heads = x.clone(), len(self.decay)
        for weights, state in zip(self.layers, self.states, strict=True):
            width = x.shape[1]
            q, k, v, gate = (normed(x) @ weights["qkvg"]).split((width, width, 2 * width, 2 * width), dim=1)
            q, k, v = (part.unflatten(1, (heads, -1)) for part in (q, k, v))
            mixed = normed(self.update(state, q, k, v, self.decay)).flatten(1)
            x.addmm_(functional.silu(gate) * mixed, weights["out"])
            x.addmm_(functional.gelu(normed(x) @ weights["up"]), weights["down"])
        return normed(x) @ self.head


@dataclass(frozen=True)
class Found:
    """At one batch: the times of the three arms, and the bytes each holds at once."""

    times: Comparison
    held: Mapping[str, int]
    chosen: Mapping[str, Any]


def measure(context: Context, ceilings: Probe) -> None:
    """Measures both speed-ups and memory_saving; charts them over batches."""
    device, width = context.device, context["width"]
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    shape = Shape(
        context["layers"], width, width // HEAD, width // HEAD, HEAD, 4 * width, False, 0, VOCABULARY * width
    )
    flat = [_random(12 * width**2, width, dtype, device) for _ in range(shape.layers)]
    sizes = {"qkvg": (width, 6 * width), "out": (2 * width, width), "up": (width, 2 * width)}
    ours = [_cut(weights, sizes | {"down": (2 * width, width)}) for weights in flat]
    theirs = [_cut(weights, shape.sizes) for weights in flat]
    head = _random(width * shape.vocabulary, width, dtype, device).view(width, -1)
    decay = retention.decays(width // KEY, device)
    retnet = RetNet(ours, head, [], decay, retention.fast_update(context)[1])
    transformer = Stack(shape, theirs, head, [])
    batches = sorted({*context["batches"], context["batch"]})

    def one(batch: int) -> Found:
        context.progress(0.15 + 0.6 * batches.index(batch) / len(batches), f"decoding, batch {batch}")
        return _at_batch(context, batch, retnet, transformer)

    found = over_batches(batches, one, device, context.log)
    for batch, each in found.items():
        if batch == context["batch"]:
            context.keep("decode", each.times)
        else:
            context.samples[f"batch {batch}"] = dict(each.times.samples)
    _report(context, ceilings, shape, found[context["batch"]])
    _chart(context, ceilings, shape, found)


def _random(count: int, width: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    return torch.randn(count, dtype=dtype, device=device).mul_(width**-0.5)


def _cut(flat: torch.Tensor, sizes: Mapping[str, tuple[int, int]]) -> dict[str, torch.Tensor]:
    parts = flat.split([prod(size) for size in sizes.values()])
    return {name: part.view(size) for (name, size), part in zip(sizes.items(), parts, strict=True)}


def _at_batch(context: Context, batch: int, retnet: RetNet, transformer: Stack) -> Found:
    device, shape, tokens = context.device, transformer.shape, context["context"]
    dtype = transformer.head.dtype
    x = torch.randn(batch, shape.width, dtype=dtype, device=device)
    static = replace(transformer, caches=random_caches(shape, batch, tokens, dtype, device), chosen={})
    static.choose(context.log, tokens)
    growing = replace(static, caches=[Growing(c.keys, c.values) for c in static.caches], attend=plain)
    size = (batch, len(retnet.decay), KEY, 2 * KEY)
    ours = replace(retnet, states=[torch.randn(size, device=device) for _ in range(shape.layers)])
    works = {
        "growing": torch.no_grad()(lambda call: growing.step(x, tokens - 1)),
        "static": torch.no_grad()(lambda call: static.step(x, tokens - 1)),
        "retnet": torch.no_grad()(lambda call: ours.step(x)),
    }
    held = {name: _held(work, ours if name == "retnet" else static, device) for name, work in works.items()}
    for name, stack in {"static": lambda: static.step(x, tokens - 1), "retnet": lambda: ours.step(x)}.items():
        works[name] = capture(stack, device)
    seconds = 4.0 if batch == context["batch"] else 0.8
    how = profile(context.preset, DECODE, max_s=seconds)
    return Found(compare(works, "growing", how, device), held, static.chosen)


def _held(work: Work, model: RetNet | Stack, device: torch.device) -> int:
    """Bytes at once: weights, what is kept of the context, and what a step allocates beside."""
    matrices = [matrix for layer in model.layers for matrix in layer.values()] + [model.head]
    kept = (
        model.states if isinstance(model, RetNet) else [t for c in model.caches for t in (c.keys, c.values)]
    )
    return tensor_bytes(matrices) + tensor_bytes(list(kept)) + peak_bytes(lambda: work(0), device)


def _bytes(shape: Shape, tokens: int, batch: int) -> dict[str, float]:
    """Bytes that a step must move: the growing cache is read, written and read again."""
    state = 4 * batch * shape.layers * shape.width * 2 * KEY  # fp32
    return {
        "growing": shape.step_bytes(batch, 3 * tokens),
        "static": shape.step_bytes(batch, tokens),
        "retnet": 2 * shape.weights + 2 * state,
    }


def _least(ceilings: Probe, shape: Shape, tokens: int, batch: int) -> dict[str, float]:
    """Milliseconds under which a step cannot be done."""
    flop = {"growing": shape.step_flop(batch, tokens), "retnet": shape.step_flop(batch, 2 * KEY)}
    moved = _bytes(shape, tokens, batch)
    return {
        arm: 1e3 * ceilings.least_time(flop.get(arm, flop["growing"]), each) for arm, each in moved.items()
    }


def _report(context: Context, ceilings: Probe, shape: Shape, found: Found) -> None:
    batch, tokens = context["batch"], context["context"]
    least, moved = _least(ceilings, shape, tokens, batch), _bytes(shape, tokens, batch)
    for baseline in LABELS:
        note = f"{moved[baseline] / 1e9:.3g} GB against {moved['retnet'] / 1e9:.3g} GB a step:"
        pair = ("retnet", baseline)
        report(context, f"speedup_{baseline}", found.times, pair, least, note, kernels=found.chosen)
    kept = 2 * batch * shape.cached(tokens)
    context.measure(
        "memory_saving",
        1 - found.held["retnet"] / found.held["static"],
        predicted=1 - (moved["retnet"] + 2 * shape.weights) / 2 / (2 * shape.weights + kept),
        predicted_note="Weights and fp32 states against weights, keys and values.",
        detail={
            "bytes": dict(found.held),
            "saving_of_growing": 1 - found.held["retnet"] / found.held["growing"],
        },
    )


def _chart(context: Context, ceilings: Probe, shape: Shape, found: Mapping[int, Found]) -> None:
    batches, tokens = list(found), context["context"]
    x = ("Batch", "sequences", True)
    lines = [
        curve(label, batches, [each.times.speedup("retnet", arm) for each in found.values()])
        for arm, label in LABELS.items()
    ]
    least = [_least(ceilings, shape, tokens, batch) for batch in batches]
    limits = [
        {"label": f"roofline limit, {label}", "x": batches, "y": [t[arm] / t["retnet"] for t in least]}
        for arm, label in LABELS.items()
    ]
    lines += [*limits, level("claimed by the paper", batches, CLAIMED)]
    title = f"Decoding after {tokens} tokens: RetNet against a Transformer of equal size"
    context.chart("speedup", title, x, ("Speed-up", "x", True), lines)
    for name, axis, of in (
        (
            "throughput",
            ("Throughput", "tokens/s", True),
            lambda b, f, arm: 1e3 * b / f.times.median(arm).value,
        ),
        ("memory", ("Memory", "GB", False), lambda b, f, arm: f.held[arm] / 1e9),
    ):
        arms = {"retnet": "RetNet", "growing": "Transformer, growing cache", "static": "Transformer, static"}
        drawn = [
            {"label": label, "x": batches, "y": [of(b, f, arm) for b, f in found.items()]}
            for arm, label in arms.items()
        ]
        context.chart(name, f"{axis[0]} of decoding after {tokens} tokens", x, axis, drawn)
