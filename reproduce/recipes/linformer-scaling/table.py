"""The paper's Table 3 again: inference time over lengths and ranks, and the memory a sequence needs."""

import math
from collections.abc import Callable
from typing import Any

import torch

from reproduce.recipes.context import Context, curve
from reproduce.recipes.intervals import Interval
from reproduce.recipes.memory import peak_bytes
from reproduce.recipes.roofline import Probe
from reproduce.recipes.toolbox import KERNEL, Comparison, compare, profile, release

from . import layers
from .layers import Attend, Layer, SelfAttention, Sizes, layer_flop, score_bytes

EAGER, FUSED = "eager", "fused"
CLAIMED = {"short": 1.5, "middle": 5.5, "long": 20.0}  # at k = 128
Found = dict[int, Comparison]


def arm(kind: str, rank: int = 0) -> str:
    """The name of an arm: rank 0 is the Transformer."""
    return f"Linformer {rank}, {kind}" if rank else f"Transformer, {kind}"


def measure(context: Context, ceilings: Probe, dtype: torch.dtype) -> None:
    """Times every row of the table, then measures the claimed cells, the table's mean, and memory."""
    lengths, found = context["lengths"], {}
    for index, length in enumerate(lengths):
        context.progress(0.1 + 0.5 * index / len(lengths), f"inference at {length} tokens a sequence")
        found[length] = _row(context, dtype, length)
        release(context.device)
    _cells(context, ceilings, dtype, found)
    _mean(context, found)
    _chart(context, ceilings, dtype, found)
    _memory(context, dtype)


def _claimed_rows(context: Context) -> dict[str, int]:
    return {"short": context["lengths"][0], "middle": context["main_length"], "long": context["lengths"][-1]}


def _ranks(context: Context, length: int) -> list[int]:
    """Those below the length, as in the table."""
    return [rank for rank in context["ranks"] if rank < length]


def _sizes(context: Context) -> Sizes:
    return Sizes(context["width"], context["heads"])


def _layer(
    context: Context, dtype: torch.dtype, attend: Attend, length: int, rank: int = 0
) -> Callable[[torch.Tensor], torch.Tensor]:
    sizes = _sizes(context)
    with context.device:  # the largest projections take seconds to draw on a CPU
        return Layer(sizes, SelfAttention(sizes, attend, length, rank)).to(dtype)


def _row(context: Context, dtype: torch.dtype, length: int) -> Comparison:
    """All arms at one length, at a constant number of tokens a batch."""
    size = (max(1, context["tokens"] // length), length, context["width"])
    batches = [torch.randn(size, device=context.device, dtype=dtype) for _ in range(2)]
    models = {
        arm(kind, rank): _layer(context, dtype, attend, length, rank)
        for rank in (0, *_ranks(context, length))
        for kind, attend in ((EAGER, layers.eager_in_pieces), (FUSED, layers.fused))
    }
    works: dict[str, Callable[[int], object]] = {
        name: lambda call, model=model: model(batches[call % 2]) for name, model in models.items()
    }
    claimed = length in _claimed_rows(context).values()
    how = profile(context.preset, KERNEL, warm_up_calls=2, min_rounds=10, max_s=1.5 if claimed else 0.5)
    times = compare(works, arm(EAGER), how, context.device, again=claimed)
    if claimed:
        context.keep(f"row_{length}", times)
    else:
        context.samples[f"row_{length}"] = dict(times.samples)
    return times


def least(
    context: Context, ceilings: Probe, dtype: torch.dtype, length: int, kind: str, rank: int = 0
) -> float:
    """Seconds of a batch at least: products, then the traffic of the scores if they are in memory."""
    batch, sizes = max(1, context["tokens"] // length), _sizes(context)
    products = ceilings.least_time(batch * layer_flop(sizes, length, rank))
    if kind == FUSED:
        return products
    return products + ceilings.least_time(moved=batch * score_bytes(sizes, length, rank, dtype.itemsize))


def _cells(context: Context, ceilings: Probe, dtype: torch.dtype, found: Found) -> None:
    """The cells that the paper's claims name, at the smallest rank: both unfused, and both fused."""
    rank = context["ranks"][0]
    for row, length in _claimed_rows(context).items():
        for kind, name in ((EAGER, f"speedup_{row}"), (FUSED, f"speedup_{row}_fused")):
            times = {k: least(context, ceilings, dtype, length, kind, k) for k in (0, rank)}
            comparison = found[length]
            context.measure(
                name,
                comparison.speedup(arm(kind, rank), arm(kind)),
                predicted=times[0] / times[rank],
                predicted_note="Products, and the scores' traffic if unfused; norms, GELU and residuals, "
                "which both have, bring the ratio nearer to one.",
                noise=comparison.noise(),
                detail={
                    "length": length,
                    "rank": rank,
                    "fraction_of_limit": {
                        "candidate": times[rank] * 1e3 / comparison.median(arm(kind, rank)).value,
                        "baseline": times[0] * 1e3 / comparison.median(arm(kind)).value,
                    },
                },
            )


def _mean(context: Context, found: Found) -> None:
    """The geometric mean over all cells, unfused; every cell in the detail."""
    cells: dict[str, dict[str, float]] = {EAGER: {}, FUSED: {}}
    logs = []
    for length, comparison in found.items():
        for rank in _ranks(context, length):
            gains = {k: comparison.speedup(arm(k, rank), arm(k)) for k in cells}
            logs.append([math.log(v) for v in (gains[EAGER].value, gains[EAGER].low, gains[EAGER].high)])
            for kind, gain in gains.items():
                cells[kind][f"n = {length}, k = {rank}"] = gain.value
    value, low, high = (math.exp(sum(column) / len(logs)) for column in zip(*logs, strict=True))
    context.measure("speedup_mean", Interval(value, low, high, len(logs)), detail=cells)


def _chart(context: Context, ceilings: Probe, dtype: torch.dtype, found: Found) -> None:
    lengths, rank = list(found), context["ranks"][0]
    lines: list[dict[str, Any]] = []
    for k in context["ranks"]:
        rows = [length for length in lengths if k < length]
        lines.append(curve(f"k = {k}", rows, [found[n].speedup(arm(EAGER, k), arm(EAGER)) for n in rows]))
    lines.append(
        curve(
            f"k = {rank}, both fused",
            lengths,
            [found[n].speedup(arm(FUSED, rank), arm(FUSED)) for n in lengths],
        )
    )
    limit = [
        least(context, ceilings, dtype, n, EAGER) / least(context, ceilings, dtype, n, EAGER, rank)
        for n in lengths
    ]
    rows = _claimed_rows(context)
    context.chart(
        "speedup",
        "Inference time of the Transformer over Linformer's, both unfused",
        ("Sequence length", "tokens", True),
        ("Speed-up", "x", True),
        [
            *lines,
            {"label": "roofline limit", "x": [float(n) for n in lengths], "y": limit},
            {"label": "claimed by the paper", "x": list(rows.values()), "y": [CLAIMED[row] for row in rows]},
        ],
    )


def _memory(context: Context, dtype: torch.dtype) -> None:
    """Bytes that one more sequence needs, which limit the batch; pieces would hide the scores."""
    rank, main = context["ranks"][0], context["main_length"]
    lengths = [length for length in context["lengths"] if length <= main]
    lines = {
        arm(kind, k): [_sequence_bytes(context, dtype, attend, length, k) for length in lengths]
        for k in (0, rank)
        for kind, attend in ((EAGER, layers.eager), (FUSED, layers.fused))
    }
    for name, kind in (("memory_saving", EAGER), ("memory_saving_fused", FUSED)):
        at = {k: lines[arm(kind, k)][lengths.index(main)] for k in (0, rank)}
        context.measure(
            name,
            at[0] / at[rank],
            detail={
                "length": main,
                "rank": rank,
                "bytes_a_sequence": {"transformer": at[0], "linformer": at[rank]},
            },
        )
    context.chart(
        "memory",
        "Memory that one more sequence needs in inference",
        ("Sequence length", "tokens", True),
        ("Memory", "MB", True),
        [{"label": name, "x": lengths, "y": [n / 1e6 for n in values]} for name, values in lines.items()],
    )


def _sequence_bytes(context: Context, dtype: torch.dtype, attend: Attend, length: int, rank: int) -> int:
    context.progress(0.62, f"memory at {length} tokens a sequence")
    model = _layer(context, dtype, attend, length, rank)
    peaks = []
    for batch in (1, 2):
        x = torch.randn(batch, length, context["width"], device=context.device, dtype=dtype)
        peaks.append(peak_bytes(lambda x=x: model(x), context.device) + x.numel() * x.element_size())
    release(context.device)
    return peaks[1] - peaks[0]
