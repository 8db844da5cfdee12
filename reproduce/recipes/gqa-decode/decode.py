"""Decode steps with T5-XXL's decoder over an encoder's output: 64 key heads, 8 groups, and one."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.nn import functional

from reproduce.recipes.blocks.decodestack import Shape, Stack, normed, random_caches
from reproduce.recipes.blocks.decoding import DECODE, capture, midpoints, over_batches, report
from reproduce.recipes.context import Context, curve, level
from reproduce.recipes.memory import tensor_bytes
from reproduce.recipes.roofline import Probe
from reproduce.recipes.toolbox import Comparison, compare, profile

from . import conversion

CLAIMED = {"GQA-8": 5.39, "MQA": 6.29}
POSITIONS = 4  # steps timed, at the middle of as many spans of the output
NAMES = {"GQA-8": "gqa", "MQA": "mqa"}
WHOLE = "whole"


@dataclass(frozen=True)
class Found:
    """At one batch: milliseconds of decoding for one whole sample, kernels, and bytes of a token's cache."""

    times: Comparison
    chosen: Mapping[str, Any]
    token_bytes: Mapping[str, float]


def arms_of(context: Context) -> dict[str, int]:
    """Key heads of each arm; 64 query heads in the full preset."""
    return {"MHA": context["heads"], "GQA-8": max(2, context["heads"] // 8), "MQA": 1}


def shape_of(context: Context, kv_heads: int) -> Shape:
    """T5-XXL's decoder: head width 64, a gated feed-forward of 2.5 widths, 32 768 output tokens."""
    heads = context["heads"]
    width, memory = 64 * heads, context["source"]
    return Shape(context["layers"], width, heads, kv_heads, 64, 5 * width // 2, True, memory, 8 * width)


def measure(context: Context, ceilings: Probe) -> None:
    """Measures the speed-ups of decoding and of whole samples, and checks the cache's bytes."""
    device, heads = context.device, context["heads"]
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    full = Stack.random(shape_of(context, heads), 0, 1, dtype, device)
    stacks = {arm: converted(full, kv_heads) for arm, kv_heads in arms_of(context).items()}
    batches = sorted({*context["batches"], context["batch"]})

    def one(batch: int) -> Found:
        context.progress(0.12 + 0.48 * batches.index(batch) / len(batches), f"decoding, batch {batch}")
        return _at_batch(context, stacks, batch)

    found = over_batches(batches, one, device, context.log)
    for batch, each in found.items():
        if batch != context["batch"]:
            context.samples[f"batch {batch}"] = dict(each.times.samples)
    _report(context, ceilings, full, found[context["batch"]])
    _chart(context, ceilings, found)


def converted(full: Stack, kv_heads: int) -> Stack:
    """A stack that shares all weights but those of its own keys and values, which are means of groups."""
    heads, width = full.shape.heads, full.shape.head_width

    def pooled(weights: torch.Tensor) -> torch.Tensor:
        q, k, v = weights.split(heads * width, dim=1)
        few = (conversion.mean(part.T, heads, kv_heads).T for part in (k, v))
        return torch.cat((q, *few), dim=1)

    same = kv_heads == heads
    layers = full.layers if same else [layer | {"qkv": pooled(layer["qkv"])} for layer in full.layers]
    return Stack(replace(full.shape, kv_heads=kv_heads), layers, full.head, [])


def _at_batch(context: Context, stacks: Mapping[str, Stack], batch: int) -> Found:
    device, length, baseline = context.device, context["length"], stacks["MHA"]
    dtype, shape = baseline.head.dtype, baseline.shape
    x = torch.randn(batch, shape.width, dtype=dtype, device=device)
    at, works, chosen, token_bytes = midpoints(length, POSITIONS), {}, {}, {}
    for arm, weights in stacks.items():
        caches = random_caches(weights.shape, batch, length, dtype, device)
        memories = random_caches(weights.shape, batch, shape.memory, dtype, device)
        stack = replace(weights, caches=caches, memories=memories, chosen={})
        stack.choose(context.log, length, at[0] + 1)
        chosen[arm] = stack.chosen
        works[arm] = capture(lambda stack=stack: [stack.step(x, position) for position in at][-1], device)
        kept = [t for c in [*caches, *memories] for t in (c.keys, c.values)]
        token_bytes[arm] = tensor_bytes(kept) / batch / (length + shape.memory)
    last = batch == context["batch"]
    if last:
        source = torch.randn(1, shape.memory, shape.width, dtype=dtype, device=device)
        works["encoder"] = capture(lambda: encode(baseline, source), device)
    how = profile(context.preset, DECODE, max_s=6.0 if last else 0.8)
    times = compare(works, "MHA", how, device)
    return Found(_per_sample(times, length / len(at) / batch), chosen, token_bytes)


def _per_sample(times: Comparison, share: float) -> Comparison:
    """Milliseconds for all tokens of one sample; the encoder's are of one sample already."""
    scaled = {
        arm: values if arm == "encoder" else [share * value for value in values]
        for arm, values in times.samples.items()
    }
    return replace(times, samples=scaled)


def encode(stack: Stack, x: torch.Tensor) -> torch.Tensor:
    """An encoder of as many layers, with the decoder's weights: (sequences, n, width)."""
    x = x.clone()
    for weights in stack.layers:
        heads = (normed(x) @ weights["qkv"]).unflatten(-1, (3, stack.shape.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(*heads)
        x += mixed.transpose(1, 2).flatten(2) @ weights["out"]
        gate, value = (normed(x) @ weights["up"]).chunk(2, dim=-1)
        x += (functional.gelu(gate) * value) @ weights["down"]
    return x


def _least(context: Context, ceilings: Probe, batch: int) -> dict[str, float]:
    """Milliseconds under which one sample cannot be decoded."""
    found, length = {}, context["length"]
    for arm, kv_heads in arms_of(context).items():
        shape, tokens = shape_of(context, kv_heads), length / 2
        step = ceilings.least_time(shape.step_flop(batch, tokens), shape.step_bytes(batch, tokens))
        found[arm] = 1e3 * step * length / batch
    return found


def _report(context: Context, ceilings: Probe, full: Stack, found: Found) -> None:
    least, arms = _least(context, ceilings, context["batch"]), arms_of(context)
    context.keep("decode", found.times)
    whole = _whole(found.times)
    context.samples[WHOLE] = dict(whole.samples)
    shape, source = full.shape, context["source"]
    meet = 4 * shape.layers * source**2 * shape.heads * shape.head_width
    crossed = shape.layers * 2 * shape.width * shape.heads * shape.head_width  # not the encoder's
    flop = 2 * source * (shape.weights - shape.width * shape.vocabulary - crossed) + meet
    encoder = 1e3 * ceilings.least_time(flop)
    with_encoder = {arm: each + encoder for arm, each in least.items()}
    for arm, name in NAMES.items():
        note = f"A sample's decoding at batch {context['batch']}:"
        report(context, f"speedup_{name}", found.times, (arm, "MHA"), least, note, kernels=found.chosen)
        report(context, f"speedup_{name}_whole", whole, (arm, "MHA"), with_encoder, "With the encoder:")
    ratio = found.token_bytes["GQA-8"] / found.token_bytes["MHA"]
    context.measure(
        "cache_bytes_per_token",
        found.token_bytes["GQA-8"],
        detail={"bytes_per_token": dict(found.token_bytes)},
    )
    context.guard(
        "cache_is_groups_of_heads",
        abs(ratio - arms["GQA-8"] / arms["MHA"]),
        0.0,
        "The cache's bytes for a token, grouped over multi-head, less groups over heads.",
    )


def _whole(times: Comparison) -> Comparison:
    """Encoder and decoding of one sample together."""
    encoder = times.samples["encoder"]
    added = {
        arm: [e + value for e, value in zip(encoder, values, strict=True)]
        for arm, values in times.samples.items()
        if arm != "encoder"
    }
    return replace(times, samples=added)


def _chart(context: Context, ceilings: Probe, found: Mapping[int, Found]) -> None:
    batches = list(found)
    least = [_least(context, ceilings, batch) for batch in batches]
    lines = []
    for arm in NAMES:
        lines.append(curve(arm, batches, [each.times.speedup(arm, "MHA") for each in found.values()]))
        limit = [each["MHA"] / each[arm] for each in least]
        lines.append({"label": f"roofline limit, {arm}", "x": batches, "y": limit})
    lines.append(level("claimed by the paper", batches, CLAIMED["GQA-8"]))
    lines.append(level("claimed by the paper, MQA", batches, CLAIMED["MQA"]))
    x = ("Batch", "samples", True)
    title = f"Decoding with T5-XXL's decoder after {context['source']} source tokens"
    context.chart("speedup", title, x, ("Speed-up over multi-head attention", "x", True), lines)
    times = [
        curve(arm, batches, [each.times.median(arm) for each in found.values()]) for arm in arms_of(context)
    ]
    context.chart("time", "Time of decoding one sample", x, ("Time", "ms", True), times)
