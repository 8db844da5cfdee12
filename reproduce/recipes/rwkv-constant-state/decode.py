"""A decode step after ever longer contexts: RWKV that has read them, and a Transformer with their keys."""

from dataclasses import dataclass, field
from typing import Any

import torch

from reproduce.recipes.blocks.decodestack import Shape, Stack
from reproduce.recipes.blocks.decoding import DECODE, capture, report
from reproduce.recipes.context import Context, curve, level
from reproduce.recipes.intervals import Interval, slope
from reproduce.recipes.memory import peak_bytes, tensor_bytes
from reproduce.recipes.roofline import Probe
from reproduce.recipes.toolbox import Comparison, Work, compare, profile

from .exactness import small_operations
from .model import Rwkv

HEAD = 128
VOCABULARY = 24  # widths: 49 152 tokens at the full width
CHUNK = 4096  # tokens read at once


@dataclass
class Found:
    """For each context: times, bytes kept with what a step allocates, and the kernel of attention."""

    times: list[Comparison] = field(default_factory=list)
    held: dict[str, list[float]] = field(default_factory=lambda: {"rwkv": [], "transformer": []})
    chosen: list[Any] = field(default_factory=list)


def measure(context: Context, ceilings: Probe) -> None:
    """Measures the exponents of time and memory for both models, and the speed-up at the longest context."""
    device, width, contexts = context.device, context["width"], sorted(context["contexts"])
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    sizes = (context["layers"], width, max(1, width // HEAD), max(1, width // HEAD), min(HEAD, width))
    shape = Shape(*sizes, hidden=9 * width // 2, vocabulary=VOCABULARY * width)
    rwkv = Rwkv.random(shape.layers, width, 1, shape.vocabulary, dtype, device)
    name, rwkv.small = small_operations(context)
    transformer = Stack.random(shape, 1, contexts[-1], dtype, device)
    x = torch.randn(1, width, dtype=dtype, device=device)
    found, read = Found(), 0
    for index, tokens in enumerate(contexts):
        context.progress(0.15 + 0.45 * index / len(contexts), f"decoding after {tokens} tokens")
        _read(rwkv, tokens - read, dtype, device)
        read = tokens
        transformer.choose(context.log, tokens)
        _at_context(context, found, rwkv, transformer, x, tokens)
    context.keep("longest", found.times[-1])
    for tokens, each in zip(contexts[:-1], found.times, strict=False):
        context.samples[f"{tokens} tokens"] = dict(each.samples)
    _report(context, ceilings, shape, rwkv, found, name)


@torch.no_grad()
def _read(rwkv: Rwkv, tokens: int, dtype: torch.dtype, device: torch.device) -> None:
    """Lets RWKV read that many more random tokens."""
    width = rwkv.head.shape[0]
    for start in range(0, tokens, CHUNK):
        rwkv.prefill(torch.randn(1, min(CHUNK, tokens - start), width, dtype=dtype, device=device))


def _at_context(
    context: Context, found: Found, rwkv: Rwkv, transformer: Stack, x: torch.Tensor, tokens: int
) -> None:
    steps = {"rwkv": lambda: rwkv.step(x), "transformer": lambda: transformer.step(x, tokens - 1)}
    works: dict[str, Work] = {name: capture(step, context.device) for name, step in steps.items()}
    last = tokens == max(context["contexts"])
    how = profile(context.preset, DECODE, max_s=3.0 if last else 0.6)
    found.times.append(compare(works, "transformer", how, context.device))
    cached = [tensor for cache in transformer.caches for tensor in cache.upto(tokens)]
    kept = {"rwkv": rwkv.kept(), "transformer": cached}
    for name, step in steps.items():
        extra = peak_bytes(torch.no_grad()(step), context.device)
        found.held[name].append(tensor_bytes(kept[name]) + extra)
    found.chosen.append(dict(transformer.chosen))


def _report(context: Context, ceilings: Probe, shape: Shape, rwkv: Rwkv, found: Found, small: str) -> None:
    contexts = sorted(context["contexts"])
    weights = tensor_bytes([*(t for layer in rwkv.layers for t in layer.tensors()), rwkv.head])
    state = tensor_bytes(rwkv.kept())
    limits = {
        "rwkv": [1e3 * ceilings.least_time(moved=weights + 2 * state)] * len(contexts),
        "transformer": [1e3 * ceilings.least_time(moved=shape.step_bytes(1, n)) for n in contexts],
    }
    medians = {arm: [each.median(arm) for each in found.times] for arm in limits}
    at_end = {arm: limits[arm][-1] / medians[arm][-1].value for arm in limits}
    fraction = {"candidate": at_end["rwkv"], "baseline": at_end["transformer"]}
    for arm, prefix in (("rwkv", ""), ("transformer", "attention_")):
        context.measure(
            f"{prefix}time_exponent",
            slope(contexts, [median.value for median in medians[arm]]),
            predicted=slope(contexts, limits[arm]).value,
            predicted_note="Slope of the least times, by the bytes of a step, over the longer contexts.",
            detail={
                "milliseconds": dict(zip(map(str, contexts), [m.value for m in medians[arm]], strict=True)),
                "fraction_of_limit": fraction,
                "kernels": found.chosen[-1] if arm == "transformer" else small,
            },
        )
        context.measure(
            f"{prefix}memory_exponent",
            slope(contexts, found.held[arm]),
            predicted=0.0 if arm == "rwkv" else 1.0,
            predicted_note="Five numbers a channel and layer, against two for each token.",
            detail={"bytes": dict(zip(map(str, contexts), found.held[arm], strict=True))},
        )
    least = {arm: each[-1] for arm, each in limits.items()}
    report(context, "speedup_longest", found.times[-1], ("rwkv", "transformer"), least, "Bytes of a step:")
    _chart(context, contexts, medians, limits, found)


def _chart(
    context: Context,
    contexts: list[int],
    medians: dict[str, list[Interval]],
    limits: dict[str, list[float]],
    found: Found,
) -> None:
    labels = {"rwkv": "RWKV", "transformer": "Transformer with key-value cache"}
    x = ("Context", "tokens", True)
    lines = [curve(label, contexts, medians[arm]) for arm, label in labels.items()]
    lines.append({"label": "roofline limit, Transformer", "x": contexts, "y": limits["transformer"]})
    lines.append(level("roofline limit", contexts, limits["rwkv"][0]))
    context.chart(
        "time", "Time of a decoded token after a context, one sequence", x, ("Time", "ms", True), lines
    )
    held = [
        {"label": label, "x": contexts, "y": [n / 1e6 for n in found.held[arm]]}
        for arm, label in labels.items()
    ]
    context.chart("memory", "Memory beside the weights", x, ("Memory", "MB", True), held)
