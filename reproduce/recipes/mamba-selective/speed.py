"""Time of the scan with 16 states a channel, against a parallel scan in PyTorch and against attention."""

from dataclasses import dataclass
from functools import partial

import torch
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from reproduce.recipes.blocks.crossing import crossover
from reproduce.recipes.context import Context, curve, level
from reproduce.recipes.intervals import Interval
from reproduce.recipes.roofline import Probe
from reproduce.recipes.toolbox import KERNEL, Comparison, Work, compare, profile, release

from . import numerics, scan

STATES, HEAD = 16, 64
CLAIMED_SPEEDUP = 30
STANDARD_STATES = 2**30  # the parallel scan holds about ten tensors of this many states: 43 GB
STANDARD_PASSES = (
    11  # over all states in fp32: two made, a pair read and written at each of the halvings, one read
)


@dataclass(frozen=True)
class Cell:
    """One length: the comparison, and the least milliseconds of each arm."""

    length: int
    found: Comparison
    least: dict[str, float]


def over_lengths(context: Context, ceilings: Probe) -> None:
    """Measures both speed-ups at their lengths and the crossover; charts times and gains."""
    lengths = sorted({*context["lengths"], context["scan_length"]})
    cells = []
    for number, length in enumerate(lengths):
        context.progress(0.6 + 0.2 * number / len(lengths), f"the scan at {length} tokens")
        cells.append(_cell(context, ceilings, length, main=length == context["scan_length"]))
        release(context.device)
    main = next(cell for cell in cells if cell.length == context["scan_length"])
    _measure(context, "scan_speedup", main)
    context.progress(0.8, "forward and backward of the scan")
    _measure(context, "scan_speedup_training", _training(context, ceilings))
    _crossover(context, cells)
    _charts(context, cells)


def _cell(context: Context, ceilings: Probe, length: int, main: bool) -> Cell:
    """Forward of one sequence: the scan, the parallel scan where it fits, causal attention of that width."""
    dtype, channels = _dtype(context), context["channels"]
    given = _inputs(context, length)
    size = (1, channels // HEAD, length, HEAD)
    qkv = [torch.randn(size, device=context.device, dtype=dtype) for _ in range(3)]
    arms: dict[str, Work] = {
        "attention": partial(_attend, qkv),
        "scan": partial(_run, scan.selective_scan, given),
    }
    if length * channels * STATES <= STANDARD_STATES:
        arms["standard"] = partial(_run, scan.parallel, given)
    with torch.no_grad():
        how = profile(context.preset, KERNEL, warm_up_calls=2, max_s=3.0 if main else 0.5)
        found = compare(arms, "standard" if "standard" in arms else "attention", how, context.device)
    if main:
        context.keep("scan", found)
    else:
        context.samples[f"scan, {length} tokens"] = dict(found.samples)
    return Cell(length, found, _least(context, ceilings, length))


def _training(context: Context, ceilings: Probe) -> Cell:
    """Forward and backward at an eighth of the length, so that autograd's states fit."""
    length = max(16, context["scan_length"] // 8)
    given = [tensor.requires_grad_() for tensor in _inputs(context, length)]
    gradient = torch.randn_like(given[0])
    arms = {
        name: partial(_both, work, given, gradient)
        for name, work in (("standard", scan.parallel), ("scan", scan.selective_scan))
    }
    how = profile(context.preset, KERNEL, warm_up_calls=2, max_s=2.0)
    found = compare(arms, "standard", how, context.device)
    context.keep("scan_training", found)
    least = {name: 3 * time for name, time in _least(context, ceilings, length).items()}
    return Cell(length, found, least)


def _inputs(context: Context, length: int) -> list[torch.Tensor]:
    """Of one sequence; in memory the channels of a token lie side by side, as products give them."""
    sizes = (1, 1, context["channels"], length, STATES)
    x, dt, *others = numerics.inputs(sizes, context.device, _dtype(context))
    return [*(tensor.mT.contiguous().mT for tensor in (x, dt)), *others]


def _dtype(context: Context) -> torch.dtype:
    return torch.bfloat16 if context.device.type == "cuda" else torch.float32


def _run(work: scan.Scan, given: list[torch.Tensor], call: int) -> torch.Tensor:
    return work(*given)


def _both(work: scan.Scan, given: list[torch.Tensor], gradient: torch.Tensor, call: int) -> object:
    return torch.autograd.grad(work(*given), given, gradient)


def _attend(qkv: list[torch.Tensor], call: int) -> torch.Tensor:
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        return functional.scaled_dot_product_attention(*qkv, is_causal=True)


def _least(context: Context, ceilings: Probe, length: int) -> dict[str, float]:
    """Least milliseconds of a forward pass: inputs and output once; or every state, several times."""
    channels, size = context["channels"], _dtype(context).itemsize
    fused = ceilings.least_time(moved=length * size * (3 * channels + 2 * STATES))
    standard = ceilings.least_time(moved=STANDARD_PASSES * 4 * length * channels * STATES)
    attention = ceilings.least_time(2 * length**2 * channels)
    return {"scan": fused * 1e3, "standard": standard * 1e3, "attention": attention * 1e3}


def _measure(context: Context, name: str, cell: Cell) -> None:
    times = {arm: cell.found.median(arm).value for arm in ("standard", "scan")}
    context.measure(
        name,
        cell.found.speedup("scan", "standard"),
        predicted=cell.least["standard"] / cell.least["scan"],
        predicted_note=f"Bytes: {cell.least['standard']:.3g} ms with every state in memory, "
        f"{cell.least['scan']:.3g} ms with inputs and outputs alone; arithmetic binds a fused scan earlier.",
        noise=cell.found.noise(),
        detail={
            "length": cell.length,
            "fraction_of_limit": {
                "candidate": cell.least["scan"] / times["scan"],
                "baseline": cell.least["standard"] / times["standard"],
            },
            "arms": cell.found.figures(),
        },
    )


def _crossover(context: Context, cells: list[Cell]) -> None:
    gains = [cell.found.speedup("scan", "attention") for cell in cells]
    found = crossover([cell.length for cell in cells], gains)
    context.measure("crossover", found, detail={"faster_at_some_length": any(gain.low > 1 for gain in gains)})


def _charts(context: Context, cells: list[Cell]) -> None:
    lengths = [cell.length for cell in cells]
    there = [cell for cell in cells if "standard" in cell.found.samples]
    shorter = [cell.length for cell in there]
    context.chart(
        "scan_speedup",
        "The fused scan against a parallel scan in PyTorch, forward",
        ("Sequence length", "tokens", True),
        ("Speed-up", "x", True),
        [
            curve("measured", shorter, [cell.found.speedup("scan", "standard") for cell in there]),
            {
                "label": "roofline limit",
                "x": shorter,
                "y": [cell.least["standard"] / cell.least["scan"] for cell in there],
            },
            level("claimed by the paper", shorter, CLAIMED_SPEEDUP),
        ],
    )
    context.chart(
        "scan_time",
        "Forward time of the core operation, one sequence",
        ("Sequence length", "tokens", True),
        ("Time", "ms", True),
        [
            *(curve(arm, lengths, _times(cells, arm)) for arm in ("scan", "attention")),
            curve("standard", shorter, _times(there, "standard")),
        ],
    )


def _times(cells: list[Cell], arm: str) -> list[Interval]:
    return [cell.found.median(arm) for cell in cells]
