"""Memory of attention: what it allocates beyond its inputs, and what it moves to and from device memory."""

from typing import Any

import torch

from reproduce.recipes.context import Context
from reproduce.recipes.intervals import slope
from reproduce.recipes.memory import moved_bytes, peak_bytes
from reproduce.recipes.toolbox import release

from . import counters
from .attention import Attend, Batch, both, fused, kernels, padding_mask, standard

SLOPE_TOLERANCE = 0.1  # RECIPES, section 13


def memory(context: Context, dtype: torch.dtype) -> None:
    """Measures memory_saving, memory_saving_total and both slopes; charts extra memory against length."""
    lengths = sorted({*context["lengths"], context["memory_length"]})
    found = {
        name: [_extra(context, dtype, name, length) for length in lengths]
        for name in _arms(context, 1, 1, dtype)
    }
    at = lengths.index(context["memory_length"])
    _measure_saving(context, dtype, lengths[at], found["standard"][at], found["flash"][at])
    for name, arm, expected in (("fused", "flash", 1.0), ("standard", "standard", 2.0)):
        grown = slope(lengths, found[arm])
        context.measure(f"memory_slope_{name}", grown, predicted=expected, predicted_note="By the algorithm.")
        context.guard(
            f"memory_slope_{name}",
            abs(grown.value - expected),
            SLOPE_TOLERANCE,
            f"Distance of the log-log slope {grown.value:.3f} from {expected:g}, over the longer half.",
        )
    context.chart(
        "memory",
        "Extra memory of attention, forward and backward, one sequence",
        ("Sequence length", "tokens", True),
        ("Memory beyond the inputs", "MB", True),
        [{"label": name, "x": lengths, "y": [n / 1e6 for n in values]} for name, values in found.items()],
    )


def _measure_saving(context: Context, dtype: torch.dtype, length: int, slow: int, fast: int) -> None:
    inputs = 4 * context["heads"] * length * context["head_dim"] * dtype.itemsize
    predicted = _bytes_standard(length, dtype, context["dropout"]) / _bytes_fused(context["head_dim"], dtype)
    total = (slow + inputs) / (fast + inputs)
    detail = {"length": length, "standard_bytes": slow, "flash_bytes": fast, "input_bytes": inputs}
    context.measure(
        "memory_saving",
        slow / fast,
        predicted=predicted,
        predicted_note="Tensors alive at once at the peak of each algorithm, for each token and head.",
        detail=detail,
    )
    context.measure(
        "memory_saving_total",
        total,
        predicted=_with_inputs(length, context["head_dim"], dtype, context["dropout"]),
        predicted_note="The same, with queries, keys, values and the arriving gradient.",
        detail=detail,
    )


def _bytes_standard(length: int, dtype: torch.dtype, dropout: float) -> float:
    """For each token and head at the peak: three n-wide rows, and the mask of dropout (one byte a weight)."""
    return length * (3 * dtype.itemsize + (1 if dropout else 0))


def _bytes_fused(head_dim: int, dtype: torch.dtype) -> float:
    """For each token and head: output, three gradients, query gradients in fp32, two fp32 statistics."""
    return head_dim * (4 * dtype.itemsize + 4) + 8


def _with_inputs(length: int, head_dim: int, dtype: torch.dtype, dropout: float) -> float:
    inputs = 4 * head_dim * dtype.itemsize
    return (_bytes_standard(length, dtype, dropout) + inputs) / (_bytes_fused(head_dim, dtype) + inputs)


def _arms(context: Context, batch: int, length: int, dtype: torch.dtype) -> dict[str, Attend]:
    mask = padding_mask(batch, length, dtype, context.device)
    arms = {"standard": standard(context["dropout"], mask)}
    return arms | {name: fused(kind, context["dropout"]) for name, kind in kernels(context.device).items()}


def _extra(context: Context, dtype: torch.dtype, name: str, length: int) -> int:
    """Peak bytes of forward and backward beyond the inputs, one sequence."""
    batch = Batch.random((1, context["heads"], length, context["head_dim"]), dtype, context.device)
    work = both(_arms(context, 1, length, dtype)[name], [batch])
    release(context.device)
    return peak_bytes(lambda: work(0), context.device)


def traffic(context: Context, dtype: torch.dtype) -> None:
    """Measures traffic_saving at the paper's shape: by hardware counters if they can be had, else counted."""
    shape = (context["batch"], context["heads"], context["length"], context["head_dim"])
    counted = {name: _counted(context, dtype, shape, name) for name in ("standard", "flash")}
    release(context.device)
    read, reason = counters.read(context, shape, str(dtype).removeprefix("torch."))
    used: dict[str, Any] = read or counted
    context.measure(
        "traffic_saving",
        used["standard"] / used["flash"],
        predicted=counted["standard"] / counted["flash"],
        predicted_note="Every operation reads its inputs and writes its outputs once; no tile is read again.",
        detail={
            "method": "hardware counters (dram__bytes.sum)"
            if read
            else "counted from the operations' tensors",
            "why_not_counters": reason,
            "counters_bytes": read,
            "counted_bytes": counted,
        },
    )


def _counted(context: Context, dtype: torch.dtype, shape: tuple[int, int, int, int], name: str) -> int:
    batch = Batch.random(shape, dtype, context.device)
    work = both(_arms(context, shape[0], shape[2], dtype)[name], [batch])
    return moved_bytes(lambda: work(0))
