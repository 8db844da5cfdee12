"""Bytes, batch and throughput of decoding in a given memory at Llama-2-7B's shape, with either cache."""

from dataclasses import dataclass
from typing import Any

import torch

from reproduce.recipes.blocks.replaying import replayed
from reproduce.recipes.context import Context, curve, level
from reproduce.recipes.intervals import Interval, ratio_of_medians
from reproduce.recipes.memory import peak_bytes, tensor_bytes
from reproduce.recipes.roofline import Probe
from reproduce.recipes.toolbox import KERNEL, Comparison, compare, profile, release

from . import cache as two_bit
from .cache import Cache2
from .layer import HALF, SIZES, Attend, Layer, Sizes, over_2_bits, over_16_bits

CLAIMED = 2.9
UNIT = 2  # sequences that are drawn; the others repeat them
LIMIT = 2e-3
BITS = 3.0  # two, and a scale and an offset of 16 bits for 32 elements


@dataclass(frozen=True)
class Found:
    """One length: bytes of a sequence's whole cache, the batches that fit, and the step's samples."""

    bytes16: int
    bytes2: int
    batch16: int
    batch2: int
    times: Comparison
    candidate: list[float]  # milliseconds a step and layer, with its share of rounding

    @property
    def gain(self) -> Interval:
        """Tokens a second, 2-bit / 16-bit."""
        times, more = (
            ratio_of_medians(self.times.samples["16-bit"], self.candidate),
            self.batch2 / self.batch16,
        )
        return Interval(times.value * more, times.low * more, times.high * more, times.n)


def measure(context: Context, ceilings: Probe) -> None:
    """Measures throughput, batch, memory and cache_bytes at the main length; charts all lengths."""
    sizes, main = SIZES[context.preset], context["length"]
    lengths = sorted({*context["lengths"], main})
    layer = Layer(sizes, context.device)
    guard(context, sizes)
    found: dict[int, Found] = {}
    for index, length in enumerate(lengths):
        context.progress(0.05 + 0.4 * index / len(lengths), f"decoding with {length} tokens in the cache")
        found[length] = _at(context, layer, length)
        if length == main:
            _report(context, ceilings, sizes, found[length], length)
            _memory(context, layer, found[length], length)
        release(context.device)
    context.chart(
        "throughput",
        "Throughput of decoding in the same memory, 2-bit cache against 16-bit",
        ("Tokens in the cache", "tokens", True),
        ("Throughput gain", "x", False),
        [
            curve("KIVI", lengths, [found[length].gain for length in lengths]),
            level("claimed by the paper", lengths, CLAIMED),
            {
                "label": "roofline limit",
                "x": lengths,
                "y": [_limit(ceilings, sizes, found[n]) for n in lengths],
            },
        ],
    )


def _at(context: Context, layer: Layer, length: int) -> Found:
    keys, values = drawn(context, layer.sizes, length)
    unit = Cache2.of(keys, values, context["recent"])
    layers, free = layer.sizes.layers, context["memory_gb"] * 1e9 - layer.sizes.weight_bytes
    bytes16, bytes2 = (layers * kept // UNIT for kept in (tensor_bytes([keys, values]), unit.bytes))
    batch16, batch2 = (max(1, int(free // size)) for size in (bytes16, bytes2))
    times = _compared(context, layer, (keys, values), unit, (batch16, batch2))
    context.keep(f"length_{length}", times)
    rounding = times.samples["rounding the recent tokens"]
    steps = [
        step + each / context["recent"] for step, each in zip(times.samples["2-bit"], rounding, strict=True)
    ]
    return Found(bytes16, bytes2, batch16, batch2, times, steps)


def _compared(
    context: Context,
    layer: Layer,
    drawn16: tuple[torch.Tensor, torch.Tensor],
    unit: Cache2,
    batches: tuple[int, int],
) -> Comparison:
    """A layer's step at each side's batch, and rounding all recent tokens, done once they are complete."""
    plain = [part.repeat(-(-batches[0] // UNIT), 1, 1, 1)[: batches[0]].contiguous() for part in drawn16]
    kept = unit.repeated(batches[1])
    x16, x2 = (torch.randn(batch, layer.sizes.width, device=context.device).to(HALF) for batch in batches)
    attend16, attend2 = over_16_bits(*plain), over_2_bits(kept)
    works = {
        "16-bit": replayed(lambda: layer(x16, attend16), context.device),
        "2-bit": replayed(lambda: layer(x2, attend2), context.device),
        "rounding the recent tokens": replayed(
            lambda: two_bit.rounded(kept.recent_keys, kept.recent_values), context.device
        ),
    }
    main = plain[0].shape[2] == context["length"]
    limits: dict[str, Any] = {"max_s": 3.0} if main else {"max_s": 0.8, "min_rounds": 10}
    return compare(works, "16-bit", profile(context.preset, KERNEL, **limits), context.device)


def _report(context: Context, ceilings: Probe, sizes: Sizes, found: Found, length: int) -> None:
    batch = found.batch2 / found.batch16
    context.measure(
        "batch", batch, predicted=found.bytes16 / found.bytes2, predicted_note="Bytes of a sequence's cache."
    )
    least = [
        _least(ceilings, sizes, *pair)
        for pair in ((found.bytes16, found.batch16), (found.bytes2, found.batch2))
    ]
    median = found.times.median
    context.measure(
        "throughput",
        found.gain,
        predicted=_limit(ceilings, sizes, found),
        predicted_note="Weights and cache are read once a step; products at the probed rate.",
        noise=found.times.noise(),
        detail={
            "fraction_of_limit": {
                "candidate": least[1] * 1e3 / median("2-bit").value,
                "baseline": least[0] * 1e3 / median("16-bit").value,
            },
            "batches": {"16-bit": found.batch16, "2-bit": found.batch2},
            "length": length,
            "memory_gb": context["memory_gb"],
            "arms": found.times.figures(),
        },
    )
    token = found.bytes2 / length
    context.measure(
        "cache_bytes", token, predicted=found.bytes16 / length * BITS / 16, predicted_note="All at 3 bits."
    )


def _least(ceilings: Probe, sizes: Sizes, cache: int, batch: int) -> float:
    """Seconds of one layer's step at least, given the bytes of a sequence's whole cache."""
    weights = sum(outputs * inputs for outputs, inputs in sizes.matrices.values())
    products = ceilings.least_time(2.0 * batch * weights, moved=2.0 * weights)
    return products + ceilings.least_time(moved=cache * batch / sizes.layers)


def _limit(ceilings: Probe, sizes: Sizes, found: Found) -> float:
    times = [
        _least(ceilings, sizes, *pair)
        for pair in ((found.bytes16, found.batch16), (found.bytes2, found.batch2))
    ]
    return times[0] / times[1] * found.batch2 / found.batch16


def _memory(context: Context, layer: Layer, found: Found, length: int) -> None:
    """At the 16-bit side's largest batch: weights, all layers' caches, and what a layer's step needs."""
    keys, values = drawn(context, layer.sizes, length)
    batch = found.batch16
    beyond2 = _beyond(
        context, layer, batch, over_2_bits(Cache2.of(keys, values, context["recent"]).repeated(batch))
    )
    plain = [part.repeat(-(-batch // UNIT), 1, 1, 1)[:batch].contiguous() for part in (keys, values)]
    beyond16 = _beyond(context, layer, batch, over_16_bits(*plain))
    weights = layer.sizes.weight_bytes
    totals = [
        weights + batch * size + more for size, more in ((found.bytes16, beyond16), (found.bytes2, beyond2))
    ]
    context.measure(
        "memory",
        totals[0] / totals[1],
        predicted=(weights + batch * found.bytes16) / (weights + batch * found.bytes16 * BITS / 16),
        predicted_note="If every key and value took 3 bits.",
        detail={
            "batch": batch,
            "length": length,
            "weights": weights,
            "bytes_16_bit": totals[0],
            "bytes_2_bit": totals[1],
        },
    )


def _beyond(context: Context, layer: Layer, batch: int, attend: Attend) -> int:
    """Peak bytes of a layer's step beyond weights and cache; without a GPU the kernel's are unknown."""
    if context.device.type == "cpu":
        return 0
    x = torch.randn(batch, layer.sizes.width, device=context.device).to(HALF)
    return peak_bytes(lambda: layer(x, attend), context.device)


def drawn(context: Context, sizes: Sizes, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Normal keys and values (UNIT, heads, length, D)."""
    shape = (UNIT, sizes.heads, length, sizes.head)
    keys, values = (torch.randn(shape, device=context.device).to(HALF) for _ in range(2))
    return keys, values


def guard(context: Context, sizes: Sizes) -> None:
    """Guards attention over the packed cache, its bits, and that the recent tokens are as they were."""
    recent = context["recent"]
    keys, values = drawn(context, sizes, 2 * recent + 64)
    kept = Cache2.of(keys, values, recent)
    query = torch.randn(UNIT, sizes.heads, sizes.head, device=context.device).to(HALF)
    old_keys, old_values = (part[:, :, :-recent].double() for part in (keys, values))
    k = torch.cat((_rounded(old_keys.transpose(2, 3)).transpose(2, 3), keys[:, :, -recent:].double()), 2)
    v = torch.cat((_rounded(old_values), values[:, :, -recent:].double()), 2)
    weights = torch.softmax(k @ query.double()[..., None] / sizes.head**0.5, 2)
    exact = (weights.transpose(2, 3) @ v)[:, :, 0]
    error = ((two_bit.attention(query, kept).double() - exact).norm() / exact.norm()).item()
    context.guard(
        "attention", error, LIMIT, "Relative error of attention over the packed cache, against float64."
    )
    context.guard("bits", abs(kept.bits - BITS), 1e-9, f"{kept.bits:g} bits for a rounded element.")
    off = _recent_off(kept, keys, values)
    context.guard("recent_exact", off, 0.0, "Largest change of a key or value of the recent tokens.")


def _recent_off(kept: Cache2, keys: torch.Tensor, values: torch.Tensor) -> float:
    recent = kept.recent_keys.shape[2]
    pairs = zip(kept.restored(), (keys, values), strict=True)
    return max(
        (found[:, :, -recent:] - true[:, :, -recent:].float()).abs().max().item() for found, true in pairs
    )


def _rounded(x: torch.Tensor) -> torch.Tensor:
    """To four values between the smallest and largest of 32 neighbours; scale and offset have 16 bits."""
    parts = x.unflatten(-1, (-1, 32))
    low, high = parts.amin(-1, keepdim=True), parts.amax(-1, keepdim=True)
    scale, low = ((high - low) / 3).half().double(), low.half().double()
    return (torch.round((parts - low) / scale).clamp(0, 3) * scale + low).flatten(-2)
