"""Time of a decoding step over batch sizes and prefix lengths, the shared prefix read together or apart."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from reproduce.recipes.blocks.replaying import replayed
from reproduce.recipes.context import Context, curve, level
from reproduce.recipes.intervals import Interval
from reproduce.recipes.roofline import Probe
from reproduce.recipes.toolbox import KERNEL, Comparison, compare, profile, release

from .attention import Caches
from .layer import Layer

HYDRAGEN, SHARED, REPLICATED = "hydragen", "shared storage", "replicated"
BASELINES = (SHARED, REPLICATED)
MOST_REPLICATED = 30e9  # bytes of replicated keys and values that are still tried
LAYERS = 40  # of CodeLlama-13B
CLAIMED = 32.0


@dataclass(frozen=True)
class Cell:
    batch: int
    prefix: int

    @property
    def name(self) -> str:
        return f"batch {self.batch}, prefix {self.prefix}"


Found = dict[Cell, Comparison]


def measure(context: Context, ceilings: Probe, layer: Layer, dtype: torch.dtype) -> None:
    """Times the grid; measures the largest gain of a layer and of attention alone, and the loss by length."""
    cells = [Cell(batch, prefix) for prefix in context["prefixes"] for batch in context["batches"]]
    found: Found = {}
    for index, cell in enumerate(cells):
        context.progress(0.1 + 0.6 * index / len(cells), cell.name)
        works = _works(context, layer, dtype, cell)
        how = profile(context.preset, KERNEL, warm_up_calls=2, min_rounds=10, min_s=0.1, max_s=0.3)
        found[cell] = compare(works, f"{HYDRAGEN}, layer", how, context.device, again=False)
        context.samples[cell.name] = dict(found[cell].samples)
        del works
        release(context.device)
    _largest_gain(context, ceilings, layer, dtype, found)
    _gains_of_parts(context, ceilings, layer, found)
    _drop(context, ceilings, layer, dtype)
    _charts(context, ceilings, layer, found)


def _works(
    context: Context,
    layer: Layer,
    dtype: torch.dtype,
    cell: Cell,
    arms: tuple[str, ...] = (HYDRAGEN, *BASELINES),
) -> dict[str, Callable[[int], object]]:
    """By "arm, layer" and "arm, attention": a step of a whole layer, and of its attention alone."""
    size = (context["heads"], context["head_dim"])
    q = torch.randn(cell.batch, *size, device=context.device).to(dtype)
    x = torch.randn(cell.batch, size[0] * size[1], device=context.device).to(dtype)
    caches = Caches.random(cell.batch, cell.prefix, context["suffix"], size, q)
    attends: dict[str, tuple[Any, Any]] = {
        HYDRAGEN: (caches, caches.hydragen),
        SHARED: (caches, caches.shared),
    }
    whole = 2 * q.numel() * (cell.prefix + context["suffix"]) * dtype.itemsize
    if REPLICATED in arms and whole <= MOST_REPLICATED:
        copies = caches.replicated()
        attends[REPLICATED] = (copies, copies.undivided)
    works = {}
    for arm in (arm for arm in arms if arm in attends):
        store, attend = attends[arm]
        works[f"{arm}, layer"] = replayed(partial(layer.step, x, store, attend), context.device)
        works[f"{arm}, attention"] = replayed(partial(attend, q), context.device)
    return works


def best_baseline(found: Comparison, part: str) -> str:
    """The faster of the baselines that were timed: "arm, layer" or "arm, attention"."""
    arms = [f"{arm}, {part}" for arm in BASELINES if f"{arm}, {part}" in found.samples]
    return min(arms, key=lambda arm: found.median(arm).value)


def _gain(found: Comparison, part: str) -> Interval:
    return found.speedup(f"{HYDRAGEN}, {part}", best_baseline(found, part))


def least(context: Context, ceilings: Probe, layer: Layer, cell: Cell, part: str) -> dict[str, float]:
    """Seconds a step takes at least: with the prefix read once, and with it read for each sequence."""
    width, size = context["heads"] * context["head_dim"], layer.weights[0].element_size()
    token = 2 * width * size  # bytes of a key and a value
    suffix = cell.batch * context["suffix"]
    products = ceilings.least_time(2 * layer.parameters() * cell.batch, layer.parameters() * size)
    once = ceilings.least_time(4 * width * cell.batch * cell.prefix, cell.prefix * token)
    own = ceilings.least_time(moved=suffix * token)
    apart = ceilings.least_time(moved=(cell.batch * cell.prefix + suffix) * token)
    shared = products if part == "layer" else 0.0
    return {"candidate": shared + once + own, "baseline": shared + apart}


def _largest_gain(context: Context, ceilings: Probe, layer: Layer, dtype: torch.dtype, found: Found) -> None:
    """The cell with the largest gain, timed anew and for longer, so that picking it does not flatter it."""
    best = max(found, key=lambda cell: _gain(found[cell], "layer").value)
    context.progress(0.75, f"the best cell again: {best.name}")
    works = _works(context, layer, dtype, best)
    baseline = best_baseline(found[best], "layer")
    works = {arm: work for arm, work in works.items() if arm.endswith("layer")}
    how = profile(context.preset, KERNEL, warm_up_calls=2, min_rounds=10, max_s=3.0)
    final = compare(works, baseline, how, context.device)
    context.keep("best_cell", final)
    del works
    release(context.device)
    limits = least(context, ceilings, layer, best, "layer")
    tokens = {arm: best.batch / final.median(arm).value * 1e3 / LAYERS for arm in final.samples}
    context.measure(
        "throughput_gain",
        final.speedup(f"{HYDRAGEN}, layer", baseline),
        predicted=limits["baseline"] / limits["candidate"],
        predicted_note="Products with the weights, the prefix read once and the suffixes, against every "
        "sequence reading all its keys and values from memory; a cache that serves it beats this.",
        noise=final.noise(),
        detail={
            "cell": best.name,
            "baseline": baseline,
            "arms": final.figures(),
            f"tokens_per_s_of_{LAYERS}_layers": tokens,
            "gain_by_cell": {cell.name: _gain(found[cell], "layer").value for cell in found},
            "best_baseline_by_cell": {cell.name: best_baseline(found[cell], "layer") for cell in found},
            "fraction_of_limit": {
                "candidate": limits["candidate"] * 1e3 / final.median(f"{HYDRAGEN}, layer").value,
                "baseline": limits["baseline"] * 1e3 / final.median(baseline).value,
            },
        },
    )


def _gains_of_parts(context: Context, ceilings: Probe, layer: Layer, found: Found) -> None:
    """Attention alone against the best baseline; a layer against replicated caches where they fit."""
    best = max(found, key=lambda cell: _gain(found[cell], "attention").value)
    limits = least(context, ceilings, layer, best, "attention")
    context.measure(
        "attention_gain",
        _gain(found[best], "attention"),
        predicted=limits["baseline"] / limits["candidate"],
        predicted_note="(P + S) B / (P + B S) by bytes, or the prefix's arithmetic if that takes longer.",
        detail={"cell": best.name, "baseline": best_baseline(found[best], "attention")},
    )
    arm = f"{REPLICATED}, layer"
    gains = {c: f.speedup(f"{HYDRAGEN}, layer", arm) for c, f in found.items() if arm in f.samples}
    best = max(gains, key=lambda cell: gains[cell].value)
    context.measure("throughput_gain_replicated", gains[best], detail={"cell": best.name})


def _drop(context: Context, ceilings: Probe, layer: Layer, dtype: torch.dtype) -> None:
    """Throughput lost from the shortest to the longest prefix at the largest batch, timed side by side."""
    context.progress(0.88, "loss of throughput by a longer prefix")
    batch = max(context["batches"])
    ends = {
        Cell(batch, prefix): f"prefix {prefix}"
        for prefix in (min(context["prefixes"]), max(context["prefixes"]))
    }
    works = {}
    for cell, name in ends.items():
        works[name] = _works(context, layer, dtype, cell, (HYDRAGEN,))[f"{HYDRAGEN}, layer"]
    short, long = ends.values()
    found = compare(works, short, profile(context.preset, KERNEL, max_s=1.5), context.device)
    context.keep("prefix_growth", found)
    kept = found.speedup(long)
    limits = [least(context, ceilings, layer, cell, "layer")["candidate"] for cell in ends]
    context.measure(
        "throughput_drop",
        Interval(1 - kept.value, 1 - kept.high, 1 - kept.low, kept.n),
        predicted=1 - limits[0] / limits[1],
        predicted_note="By least times: the prefix's arithmetic grows with its length, the rest stays.",
        noise=found.noise(),
        detail={"batch": batch, "arms": found.figures()},
    )


def _charts(context: Context, ceilings: Probe, layer: Layer, found: Found) -> None:
    batches, prefixes = context["batches"], context["prefixes"]
    longest = max(prefixes)
    limit = []
    for batch in batches:
        times = least(context, ceilings, layer, Cell(batch, longest), "layer")
        limit.append(times["baseline"] / times["candidate"])
    context.chart(
        "gain",
        "Throughput gain of a layer over the best baseline",
        ("Sequences in the batch", "", True),
        ("Gain", "x", True),
        [
            *(
                curve(
                    f"prefix {prefix}",
                    batches,
                    [_gain(found[Cell(batch, prefix)], "layer") for batch in batches],
                )
                for prefix in prefixes
            ),
            {"label": "roofline limit", "x": [float(batch) for batch in batches], "y": limit},
            level("claimed by the paper", batches, CLAIMED),
        ],
    )
    lines = []
    for arm in (HYDRAGEN, *BASELINES):
        timed = [Cell(b, longest) for b in batches if f"{arm}, layer" in found[Cell(b, longest)].samples]
        speeds = [_tokens(found[cell].median(f"{arm}, layer"), cell.batch) for cell in timed]
        lines.append(curve(arm, [cell.batch for cell in timed], speeds))
    context.chart(
        "throughput",
        f"Decoding through {LAYERS} layers, prefix of {longest} tokens",
        ("Sequences in the batch", "", True),
        ("Throughput", "tokens/s", True),
        lines,
    )


def _tokens(time: Interval, batch: int) -> Interval:
    """Tokens a second through all layers, from milliseconds of one."""
    scale = batch * 1e3 / LAYERS
    return Interval(scale / time.value, scale / time.high, scale / time.low, time.n)
