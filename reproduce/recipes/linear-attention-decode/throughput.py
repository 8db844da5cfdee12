"""Images a second, each way at a batch that suits it, over sequence lengths; three baselines on purpose."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from reproduce.recipes.blocks.decoding import DECODE, capture, midpoints, report
from reproduce.recipes.context import Context, curve, level
from reproduce.recipes.intervals import Interval
from reproduce.recipes.roofline import Probe
from reproduce.recipes.toolbox import Comparison, compare, profile, release

from . import forms, models

POSITIONS = 6  # steps timed, at the middle of as many spans of the image
CLAIMED = {"recomputed": 4462.0, "growing": 55.8}
LABELS = {
    "recomputed": "against recomputing every token",
    "growing": "against a growing cache",
    "cached": "against static buffers",
}


@dataclass(frozen=True)
class Found:
    """At one length: milliseconds for one image by each way, their batches, and kernels."""

    times: Comparison
    batches: Mapping[str, int]
    chosen: Mapping[str, Any]


def measure(context: Context, ceilings: Probe) -> None:
    """Measures the gain in throughput over each baseline at the longest length."""
    lengths, found = sorted(context["lengths"]), []
    weights, (name, update) = models.weights_of(context), forms.fast_update(context)
    for index, length in enumerate(lengths):
        context.progress(0.12 + 0.48 * index / len(lengths), f"images of {length} tokens")
        found.append(_at_length(context, weights, update, length))
        release(context.device)
        if length != lengths[-1]:
            context.samples[f"{length} tokens"] = dict(found[-1].times.samples)
    last, least = found[-1], _least(context, ceilings, lengths[-1], found[-1].batches)
    context.keep("throughput", last.times)
    for arm in LABELS:
        pair, note = ("linear", arm), "An image:"
        detail = {"batches": dict(last.batches), "kernels": dict(last.chosen), "update": name}
        report(context, f"throughput_{arm}", last.times, pair, least, note, **detail)
    _chart(context, ceilings, lengths, found)


def _at_length(context: Context, weights: models.Weights, update: forms.Update, length: int) -> Found:
    device, width, at = context.device, context["width"], midpoints(length, POSITIONS)
    last = length == max(context["lengths"])
    batches = {
        "linear": context["linear_batch"],
        "cached": max(1, context["cache_tokens"] // length),
        "growing": max(1, context["cache_tokens"] // length),
        "recomputed": max(1, context["cache_tokens"] // 96 // length),
    }
    dtype = models.dtype_of(device)
    x = {arm: torch.randn(batch, width, dtype=dtype, device=device) for arm, batch in batches.items()}
    whole = torch.randn(batches["recomputed"], length, width, dtype=dtype, device=device)
    linear = models.Recurrent.empty(context, weights, batches["linear"], update)
    stack = models.cached(context, weights, batches["cached"], length)
    grown = models.growing(stack)
    works = {
        "cached": capture(lambda: [stack.step(x["cached"], n) for n in at][-1], device),
        "linear": capture(lambda: [linear.step(x["linear"]) for _ in at][-1], device),
        "growing": torch.no_grad()(lambda call: [grown.step(x["growing"], n) for n in at][-1]),
        "recomputed": torch.no_grad()(
            lambda call: [models.recomputed(weights, whole[:, : n + 1]) for n in at][-1]
        ),
    }
    how = profile(context.preset, DECODE, max_s=6.0 if last else 1.5)
    times = compare(works, "cached", how, device)
    return Found(_per_image(times, batches, length / len(at)), batches, stack.chosen)


def _per_image(times: Comparison, batches: Mapping[str, int], share: float) -> Comparison:
    """Milliseconds for all tokens of one image."""
    samples = {
        arm: [value * share / batches[arm.split(" ")[0]] for value in values]
        for arm, values in times.samples.items()
    }
    return replace(times, samples=samples)


def _least(context: Context, ceilings: Probe, length: int, batches: Mapping[str, int]) -> dict[str, float]:
    """Milliseconds under which one image cannot be decoded, each way at its batch."""
    shape, total = models.shape_of(context), dict.fromkeys(batches, 0.0)
    state = 4 * shape.layers * shape.width * (models.HEAD + 1)
    at = midpoints(length, POSITIONS)
    for n in (position + 1 for position in at):
        square = (
            4 * 2 * shape.layers * shape.heads * n**2
        )  # scores and weights, each written and read, 2 bytes
        work = {
            "linear": (shape.step_flop, 2 * shape.weights + 2 * state * batches["linear"], 2 * models.HEAD),
            "cached": (shape.step_flop, shape.step_bytes(batches["cached"], n), n),
            "growing": (shape.step_flop, shape.step_bytes(batches["growing"], 3 * n), n),
            "recomputed": (shape.step_flop, batches["recomputed"] * square, n),
        }
        for arm, (flop, moved, seen) in work.items():
            tokens = n if arm == "recomputed" else 1
            total[arm] += ceilings.least_time(tokens * flop(batches[arm], seen), moved)
    return {arm: 1e3 * each * length / len(at) / batches[arm] for arm, each in total.items()}


def _chart(context: Context, ceilings: Probe, lengths: list[int], found: list[Found]) -> None:
    def rate(time: Interval) -> Interval:
        return Interval(1e3 / time.value, 1e3 / time.high, 1e3 / time.low, time.n)

    names = {
        "linear": "linear attention",
        "cached": "softmax, static buffers",
        "growing": "softmax, growing cache",
        "recomputed": "softmax, recomputed",
    }
    x = ("Tokens of an image", "tokens", True)
    gains = [
        curve(label, lengths, [each.times.speedup("linear", arm) for each in found])
        for arm, label in LABELS.items()
    ]
    least = [_least(context, ceilings, n, each.batches) for n, each in zip(lengths, found, strict=True)]
    for arm, label in LABELS.items():
        limit = [each[arm] / each["linear"] for each in least]
        gains.append({"label": f"roofline limit, {label}", "x": lengths, "y": limit})
    gains.append(level("claimed by the paper", lengths, CLAIMED["recomputed"]))
    gains.append(level("claimed by the paper, with a cache", lengths, CLAIMED["growing"]))
    context.chart("gain", "Images a second of linear attention over softmax", x, ("Gain", "x", True), gains)
    rates = [
        curve(label, lengths, [rate(each.times.median(arm)) for each in found])
        for arm, label in names.items()
    ]
    context.chart("throughput", "Images a second", x, ("Throughput", "images/s", True), rates)
