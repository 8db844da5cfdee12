"""Time of an OPT layer in int8 against 16 bits: whole prompts over sizes, and one token."""

from typing import Any

import torch

from reproduce.recipes.blocks.int8 import chosen
from reproduce.recipes.blocks.replaying import replayed
from reproduce.recipes.context import Context, curve, level
from reproduce.recipes.roofline import Probe
from reproduce.recipes.toolbox import KERNEL, Comparison, compare, profile, release

from . import checking
from .layers import HALF, Cached, Dense, Fp8, Int8

CLAIMED = 1.56
FP8_LIMIT = 0.1
BOTH = ("int8", "fp8")


def prefill(context: Context, ceilings: Probe) -> None:
    """Measures speedup (the best cell: the paper says "up to") and weight_bytes; charts all cells."""
    sizes, widths = context["tokens"], context["widths"]
    found: dict[tuple[int, int], Comparison] = {}
    for place, width in enumerate(widths):
        dense = Dense(width, context.device)
        arms: dict[str, Any] = {"16-bit": dense, "int8": Int8(dense, _prompt(context, width, sizes[0]))}
        if place == 0:
            checking.guard(context, arms["int8"], _prompt(context, width, sizes[0]))
        arms |= _fp8(context, ceilings, dense, width)
        for index, tokens in enumerate(sizes):
            done = (place + index / len(sizes)) / len(widths)
            context.progress(0.05 + 0.45 * done, f"{tokens} tokens at width {width}")
            found[width, tokens] = _compared(context, arms, width, tokens)
            context.keep(f"width_{width}_tokens_{tokens}", found[width, tokens])
        if width == widths[-1]:
            _weigh(context, arms["int8"])
        del arms, dense
        release(context.device)
    best = max(found, key=lambda cell: found[cell].speedup("int8").value)
    _report(context, ceilings, found, best)


def _compared(context: Context, arms: dict[str, Any], width: int, tokens: int) -> Comparison:
    x = _prompt(context, width, tokens)
    works = {name: replayed(lambda arm=arm: arm(x), context.device) for name, arm in arms.items()}
    how = profile(context.preset, KERNEL, max_s=1.0, min_rounds=15, min_s=0.3)
    return compare(works, "16-bit", how, context.device)


def _fp8(context: Context, ceilings: Probe, dense: Dense, width: int) -> dict[str, Any]:
    """The fp8 layer where the hardware and this PyTorch have it."""
    if ceilings.eighth is None:
        return {}
    try:
        layer, x = Fp8(dense), _prompt(context, width, 64)
        error = checking.difference(layer(x), dense(x), x)
    except RuntimeError as reason:
        context.log(f"The fp8 layer is left out: {str(reason)[:300]}")
        return {}
    if error > FP8_LIMIT:
        context.log(f"The fp8 layer is left out: its relative error is {error:.2g}.")
        return {}
    return {"fp8": layer}


def _report(
    context: Context, ceilings: Probe, found: dict[tuple[int, int], Comparison], best: tuple[int, int]
) -> None:
    comparison, (width, tokens) = found[best], best
    dense, eighth = _least(ceilings, width, tokens, "half"), _least(ceilings, width, tokens, "eighth")
    context.measure(
        "speedup",
        comparison.speedup("int8"),
        predicted=dense / eighth,
        predicted_note="Products at the probed 8- or 16-bit rate; attention and norms as in 16 bits.",
        noise=comparison.noise(),
        detail={
            "fraction_of_limit": {
                "candidate": eighth * 1e3 / comparison.median("int8").value,
                "baseline": dense * 1e3 / comparison.median("16-bit").value,
            },
            "width": width,
            "tokens": tokens,
            "cells": {
                f"width {w}, {t} tokens": {a: cell.speedup(a).value for a in BOTH if a in cell.samples}
                for (w, t), cell in found.items()
            },
            "kernels": chosen(),
            "arms": comparison.figures(),
        },
    )
    sizes = context["tokens"]
    lines = [
        curve(f"{arm}, width {w}", sizes, [found[w, t].speedup(arm) for t in sizes])
        for w in context["widths"]
        for arm in BOTH
        if all(arm in found[w, t].samples for t in sizes)
    ]
    lines += [level("claimed by the paper", sizes, CLAIMED), level("roofline limit", sizes, dense / eighth)]
    axes = ("Tokens in the prompts", "tokens", True), ("Speed-up", "x", False)
    context.chart("prefill", "Speed of an OPT layer on whole prompts, against 16 bits", *axes, lines)


def _least(ceilings: Probe, width: int, tokens: int, rate: str) -> float:
    """Seconds at least: the four products at a rate, attention in 16 bits, norms and sums from memory."""
    rate = rate if getattr(ceilings, rate) else "half"
    length = _length(tokens)
    attention = 2.0 * 2 * tokens * length * width / 2  # causal: half of the pairs
    rest = ceilings.least_time(attention) + ceilings.least_time(moved=2.0 * 8 * tokens * width)
    return ceilings.least_time(2.0 * 12 * tokens * width**2, rate=rate) + rest


def _weigh(context: Context, layer: Int8) -> None:
    context.measure(
        "weight_bytes",
        layer.dense.bytes / layer.bytes,
        predicted=2.0,
        predicted_note="Two bytes against one; biases, norms and scales are a few thousandths.",
        detail={"bytes_16_bit": layer.dense.bytes, "bytes_int8": layer.bytes, "width": layer.dense.width},
    )


def decode(context: Context, ceilings: Probe) -> None:
    """Measures decode_speedup: one token through the widest layer after `context` cached ones."""
    width = context["widths"][-1]
    dense = Dense(width, context.device)
    layer = Int8(dense, _prompt(context, width, context["tokens"][0]))
    size = (1, width // dense.head, context["cached"], dense.head)
    cached = Cached(*(torch.randn(size, device=context.device).to(HALF) for _ in range(2)))
    token = _prompt(context, width, 1)
    works = {
        "16-bit": replayed(lambda: dense(token, cached), context.device),
        "int8": replayed(lambda: layer(token, cached), context.device),
    }
    found = compare(works, "16-bit", profile(context.preset, KERNEL, max_s=2.0), context.device)
    context.keep("decode", found)
    cache = 2 * 2 * context["cached"] * width
    least = [ceilings.least_time(moved=weights + cache) for weights in (dense.bytes, layer.bytes)]
    context.measure(
        "decode_speedup",
        found.speedup("int8"),
        predicted=least[0] / least[1],
        predicted_note="Weights and the 16-bit cache are read once.",
        noise=found.noise(),
        detail={
            "fraction_of_limit": {
                "candidate": least[1] * 1e3 / found.median("int8").value,
                "baseline": least[0] * 1e3 / found.median("16-bit").value,
            },
            "arms": found.figures(),
        },
    )


def _prompt(context: Context, width: int, tokens: int) -> torch.Tensor:
    length = _length(tokens)
    return torch.randn(tokens // length, length, width, device=context.device).to(HALF)


def _length(tokens: int) -> int:
    return min(tokens, 1024)
