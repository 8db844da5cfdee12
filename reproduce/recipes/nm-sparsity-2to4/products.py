"""Time of matrix products, dense and sparse: over sizes and rows, and for a layer of a known model."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch

from reproduce.recipes.blocks.replaying import replayed
from reproduce.recipes.blocks.zoo import DECODERS
from reproduce.recipes.context import Context, curve, level
from reproduce.recipes.intervals import Interval
from reproduce.recipes.roofline import Probe
from reproduce.recipes.toolbox import KERNEL, Comparison, Work, compare, profile, release

from . import sparse

COLD_BYTES = 256 * 2**20  # of weights in one round of calls, several times any cache
MOST_COPIES = 40
CLAIMED = 2.0
SPARSE_BYTES = 0.5625  # of dense ones, in 16 bits
LAYOUTS = {"sparse": True, "sparse, result transposed": False}  # by rows, as the next product wants it
Shape = tuple[int, int]  # outputs, inputs


@dataclass
class Timed:
    """One comparison: dense, and sparse in both layouts of the result, with searched algorithms as well."""

    times: Comparison
    least: dict[str, float]  # seconds
    calls: int  # products of each shape in a sample

    @property
    def best(self) -> str:
        """The faster of the sparse arms."""
        arms = [arm for arm in self.times.samples if arm.startswith("sparse")]
        return min(arms, key=lambda arm: self.times.median(arm).value)

    @property
    def speedup(self) -> Interval:
        """Dense over the faster sparse arm."""
        return self.times.speedup(self.best)


def over_shapes(context: Context, ceilings: Probe, dtype: torch.dtype) -> None:
    """Measures speedup_best; charts the speed-up over sizes for each number of rows."""
    found: dict[tuple[int, int], Interval] = {}
    cells = [(rows, size) for rows in context["tokens"] for size in context["sizes"]]
    for rows, size in cells:
        timed = _time(context, ceilings, dtype, [(size, size)], rows, 0.3)
        context.samples[f"size_{size}_rows_{rows}"] = {
            arm: list(values) for arm, values in timed.times.samples.items()
        }
        found[rows, size] = timed.speedup
        release(context.device)
    rows, size = max(cells, key=lambda cell: found[cell].value)
    best = _time(context, ceilings, dtype, [(size, size)], rows, 3.0)
    _report(context, "speedup_best", best, {"rows": rows, "size": size})
    lines = [
        curve(f"{rows} tokens", context["sizes"], [found[rows, size] for size in context["sizes"]])
        for rows in context["tokens"]
    ]
    context.chart(
        "speedup_by_size",
        "Speed-up of 2:4 sparse products over dense ones",
        ("Inputs and outputs", "", True),
        ("Speed-up", "x", False),
        [
            *lines,
            level("claimed by the paper", context["sizes"], CLAIMED),
            level("roofline limit", context["sizes"], CLAIMED),
        ],
    )


def of_a_layer(context: Context, ceilings: Probe, dtype: torch.dtype) -> None:
    """Measures speedup_layer and speedup_layer_few: all products of one layer after one another."""
    shapes = layer_shapes(context["layer"])
    for name, rows in (
        ("speedup_layer", max(context["tokens"])),
        ("speedup_layer_few", min(context["tokens"])),
    ):
        timed = _time(context, ceilings, dtype, shapes, rows, 2.5)
        _report(context, name, timed, {"rows": rows, "shapes": ", ".join(f"{a} x {b}" for a, b in shapes)})
        release(context.device)


def layer_shapes(name: str) -> list[Shape]:
    """(outputs, inputs) of a decoder layer: queries, keys and values in one, output, feed-forward."""
    shape = DECODERS[name]
    heads = shape.heads * shape.head_width
    keys = (shape.kv_heads or shape.heads) * shape.head_width
    up = shape.hidden * (2 if shape.gated else 1)
    return [
        (heads + 2 * keys, shape.width),
        (shape.width, heads),
        (up, shape.width),
        (shape.width, shape.hidden),
    ]


def _time(
    context: Context,
    ceilings: Probe,
    dtype: torch.dtype,
    shapes: Sequence[Shape],
    rows: int,
    seconds: float,
) -> Timed:
    """Times the products of all shapes after one another, in copies enough to leave no weight in a cache."""
    size = sum(outputs * inputs for outputs, inputs in shapes) * dtype.itemsize
    copies = min(MOST_COPIES, -(-COLD_BYTES // size)) if context.device.type == "cuda" else 1
    dense, packed, given = [], [], []
    for outputs, inputs in list(shapes) * copies:
        weight = torch.randn(outputs, inputs, device=context.device, dtype=dtype)
        dense.append(weight)
        packed.append(sparse.compress(sparse.prune(weight)))
        given.append(torch.randn(rows, inputs, device=context.device, dtype=dtype))
    arms = {"dense": _all(given, dense, [sparse.BY_ROWS] * len(given))}
    for name, by_rows in LAYOUTS.items():
        arms[name] = _all(given, packed, [sparse.Way(by_rows)] * len(given))
        if sparse.by_cusparselt(packed[0]):
            ways = [sparse.searched(context, packed[n], given[n], by_rows) for n in range(len(shapes))]
            arms[f"{name}, searched"] = _all(given, packed, ways * copies)
    works = launched_at_once(context, arms)
    how = profile(context.preset, KERNEL, min_s=min(KERNEL.min_s, seconds / 5), max_s=seconds)
    least = _least(ceilings, shapes, rows, dtype)
    return Timed(compare(works, "dense", how, context.device), least, copies)


def _all(given: list[torch.Tensor], weights: list[torch.Tensor], ways: list[sparse.Way]) -> Work:
    def work(call: int) -> None:
        for x, weight, way in zip(given, weights, ways, strict=True):
            sparse.product(x, weight, way)

    return work


def launched_at_once(context: Context, works: dict[str, Work]) -> dict[str, Work]:
    """Each work as one CUDA graph, so that no product waits for Python; as they are where that cannot be."""
    try:
        return {name: replayed(partial(work, 0), context.device) for name, work in works.items()}
    except RuntimeError as error:
        context.log(f"Without CUDA graphs, products wait for Python: {str(error)[:300]}")
        return works


def _least(ceilings: Probe, shapes: Sequence[Shape], rows: int, dtype: torch.dtype) -> dict[str, float]:
    """Seconds under which the products cannot be done: sparse ones at twice the rate, with fewer bytes."""
    found = {"dense": 0.0, "sparse": 0.0}
    for outputs, inputs in shapes:
        flop, weight = 2 * rows * outputs * inputs, outputs * inputs * dtype.itemsize
        activations = rows * (outputs + inputs) * dtype.itemsize
        found["dense"] += ceilings.least_time(flop, weight + activations)
        found["sparse"] += ceilings.least_time(flop / 2, SPARSE_BYTES * weight + activations)
    return found


def _report(context: Context, name: str, timed: Timed, detail: dict[str, object]) -> None:
    context.keep(name, timed.times)
    measured = {arm: timed.times.median(arm).value / 1e3 / timed.calls for arm in ("dense", timed.best)}
    context.measure(
        name,
        timed.speedup,
        predicted=timed.least["dense"] / timed.least["sparse"],
        predicted_note="Half the arithmetic at the dense rate probed here, or 0.5625 of the weights' bytes "
        "with all activations, whichever takes longer.",
        noise=timed.times.noise(),
        detail=detail
        | {
            "arms": timed.times.figures(),
            "candidate": timed.best,
            "products_a_sample": timed.calls,
            "fraction_of_limit": {
                "candidate": timed.least["sparse"] / measured[timed.best],
                "baseline": timed.least["dense"] / measured["dense"],
            },
        },
    )
