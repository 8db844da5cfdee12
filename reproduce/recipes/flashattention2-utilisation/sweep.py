"""TFLOP/s of attention over lengths, head widths and masks, at the paper's constant number of tokens."""

from itertools import product
from typing import Any

import torch

from reproduce.recipes.context import Context, curve, level
from reproduce.recipes.intervals import Interval
from reproduce.recipes.roofline import Probe
from reproduce.recipes.toolbox import KERNEL, Comparison, compare, profile, release

from . import attention
from .attention import Batch, Cell, backward, both, forward

# Dense half-precision peaks by the vendor's datasheets, FLOP/s; the first name that fits counts.
DATASHEET = {"H100 PCIe": 756e12, "H100": 989e12, "H200": 989e12, "A100": 312e12}
PHASES = {"forward": forward, "backward": backward, "both": both}
CLAIMED_RATE, CLAIMED_SHARE = 335.0, 0.615
BASELINE = "standard, both"
MATRICES = 6  # n x n matrices alive at the peak of its backward pass, and a reserve
Found = dict[Cell, Comparison]


def measure(context: Context, ceilings: Probe, dtype: torch.dtype, kernels: list[str]) -> None:
    """Times every cell and measures the best rates, utilisations and the gains over the baselines."""
    cells = [
        Cell(head_dim, causal, length, context["tokens"], context["hidden"])
        for head_dim, causal, length in product(context["head_dims"], (False, True), context["lengths"])
    ]
    found: Found = {}
    for index, cell in enumerate(cells):
        context.progress(0.1 + 0.75 * index / len(cells), cell.name)
        found[cell] = _time(context, cell, dtype, kernels)
        release(context.device)
    best = max(cells, key=lambda cell: _rate(found[cell], cell, "both").value)
    context.progress(0.87, f"the best cell again: {best.name}")
    final = _best_again(context, best, dtype, kernels)
    _rates(context, ceilings, found, best, final)
    _gains(context, found, best, final)
    _charts(context, ceilings, found)


def _works(cell: Cell, batch: Batch, kernels: list[str], phases: list[str]) -> dict[str, Any]:
    """Work by arm: "flash, forward" and so on; the baselines forward and backward only."""
    works = {f"flash, {phase}": PHASES[phase](attention.flash, batch, cell.causal) for phase in phases}
    for kernel in ("standard", *kernels):
        if kernel != "flash":
            works[f"{kernel}, both"] = both(getattr(attention, kernel), batch, cell.causal)
    return works


def _time(context: Context, cell: Cell, dtype: torch.dtype, kernels: list[str]) -> Comparison:
    batch = Batch.random(cell.shape, dtype, context.device)
    works = _works(cell, batch, kernels, list(PHASES))
    if not _fits(context, cell, dtype):
        context.log(f"Standard attention does not fit into memory at {cell.name}.")
        works.pop(BASELINE)
    how = profile(context.preset, KERNEL, warm_up_calls=2, min_rounds=10, min_s=0.1, max_s=0.5)
    times = compare(works, "flash, both", how, context.device, again=False)
    context.samples[cell.name] = dict(times.samples)
    return times


def _fits(context: Context, cell: Cell, dtype: torch.dtype) -> bool:
    """Whether standard attention's n x n matrices, forward and backward, find room beside the rest."""
    if context.device.type == "cpu":
        return True
    batch, heads, length, _ = cell.shape
    return MATRICES * batch * heads * length**2 * dtype.itemsize < torch.cuda.mem_get_info(context.device)[0]


def _best_again(context: Context, cell: Cell, dtype: torch.dtype, kernels: list[str]) -> Comparison:
    """The best cell timed anew and for longer, so that picking it does not flatter it."""
    batch = Batch.random(cell.shape, dtype, context.device)
    works = _works(cell, batch, kernels, ["both"])
    if not _fits(context, cell, dtype):
        works.pop(BASELINE)
    found = compare(works, "flash, both", profile(context.preset, KERNEL, max_s=3.0), context.device)
    context.keep("best_cell", found)
    return found


def _rate(times: Comparison, cell: Cell, phase: str, kernel: str = "flash") -> Interval:
    """TFLOP/s."""
    time, tera = times.median(f"{kernel}, {phase}"), cell.flop(phase) / 1e9
    return Interval(tera / time.value, tera / time.high, tera / time.low, time.n)


def _rates(context: Context, ceilings: Probe, found: Found, best: Cell, final: Comparison) -> None:
    rate, peak = _rate(final, best, "both"), datasheet_peak(context, ceilings) / 1e12
    everything = {
        phase: {cell.name: _rate(found[cell], cell, phase).value for cell in found} for phase in PHASES
    }
    context.measure(
        "rate",
        rate,
        predicted=ceilings.half / 1e12,
        predicted_note="What a large half-precision matrix product reached on this device just now.",
        noise=final.noise(),
        detail={
            "cell": best.name,
            "tflops": everything,
            "fraction_of_limit": _fractions(ceilings, best, final),
        },
    )
    fastest = max(found, key=lambda cell: _rate(found[cell], cell, "forward").value)
    context.measure("rate_forward", _rate(found[fastest], fastest, "forward"), detail={"cell": fastest.name})
    for name, ceiling, which in (
        ("utilisation", peak, "datasheet peak"),
        ("utilisation_here", peak, "datasheet peak"),
        ("utilisation_probed", ceilings.half / 1e12, "matrix product measured here"),
    ):
        share = Interval(rate.value / ceiling, rate.low / ceiling, rate.high / ceiling, rate.n)
        context.measure(
            name,
            share,
            noise=final.noise(),
            detail={"cell": best.name, "tflops_of_the_whole": ceiling, "whole": which},
        )


def _fractions(ceilings: Probe, cell: Cell, final: Comparison) -> dict[str, float]:
    """Least time by arithmetic over measured time."""
    least = ceilings.least_time(cell.flop()) * 1e3
    return {
        "candidate": least / final.median("flash, both").value,
        "baseline": least / final.median(BASELINE if BASELINE in final.samples else "efficient, both").value,
    }


def _gains(context: Context, found: Found, best: Cell, final: Comparison) -> None:
    """At the best cell; over standard attention at the best of those where it fits into memory."""
    fitting = [cell for cell in found if BASELINE in found[cell].samples]
    cell = max(fitting, key=lambda cell: _rate(found[cell], cell, "both").value)
    rivals = {
        "speedup_standard": (cell, found[cell] if cell != best else final, BASELINE),
        "speedup_efficient": (best, final, "efficient, both"),
    }
    for name, (where, times, arm) in rivals.items():
        arm = arm if arm in times.samples else BASELINE
        context.measure(
            name,
            times.speedup("flash, both", arm),
            noise=final.noise(),
            detail={"cell": where.name, "baseline": arm, "arms": times.figures()},
        )


def _charts(context: Context, ceilings: Probe, found: Found) -> None:
    lengths = context["lengths"]
    for phase in ("both", "forward", "backward"):
        lines = []
        for head_dim, causal in product(context["head_dims"], (False, True)):
            cells = [cell for cell in found if (cell.head_dim, cell.causal) == (head_dim, causal)]
            label = f"d = {head_dim}{', causal' if causal else ''}"
            lines.append(curve(label, lengths, [_rate(found[cell], cell, phase) for cell in cells]))
        if phase == "both":
            lines += _baselines(context, found)
            lines.append(level("claimed by the paper", lengths, CLAIMED_RATE))
        lines.append(level("roofline limit", lengths, ceilings.half / 1e12))
        title = {"both": "forward and backward"}.get(phase, phase)
        context.chart(
            f"rate_{phase}",
            f"Arithmetic rate of FlashAttention-2, {title}",
            ("Sequence length", "tokens", True),
            ("Rate", "TFLOP/s", False),
            lines,
        )


def _baselines(context: Context, found: Found) -> list[dict[str, Any]]:
    """The other kernels at the widest head, without a mask."""
    widest = max(context["head_dims"])
    lines = []
    for kernel in ("standard", "efficient"):
        cells = [
            cell
            for cell in found
            if (cell.head_dim, cell.causal) == (widest, False) and f"{kernel}, both" in found[cell].samples
        ]
        rates = [_rate(found[cell], cell, "both", kernel) for cell in cells]
        lines.append(curve(f"{kernel}, d = {widest}", [cell.length for cell in cells], rates))
    return lines


def datasheet_peak(context: Context, ceilings: Probe) -> float:
    """FLOP/s in half precision by the datasheet of this device; the probed rate if it is not known."""
    name = torch.cuda.get_device_name(context.device) if context.device.type == "cuda" else "CPU"
    for part, peak in DATASHEET.items():
        if part in name:
            return peak
    context.log(f"The datasheet peak of {name} is not known here; its probed rate is taken.")
    return ceilings.half
