"""Time of windowed attention against full causal attention, over lengths, one sequence in Mistral's heads."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from reproduce.recipes.context import Context, curve, level
from reproduce.recipes.intervals import Interval, slope
from reproduce.recipes.memory import peak_bytes
from reproduce.recipes.roofline import Probe
from reproduce.recipes.toolbox import KERNEL, Comparison, Work, compare, profile, release

from . import attention

CLAIMED = 2.0
SLOPE_TOLERANCE = 0.1


@dataclass(frozen=True)
class Cell:
    """One length: the comparison, and the least milliseconds of full and windowed attention."""

    length: int
    found: Comparison
    least: tuple[float, float]

    @property
    def fastest(self) -> str:
        """The fastest windowed arm."""
        arms = [arm for arm in self.found.samples if not arm.startswith("full")]
        return min(arms, key=lambda arm: self.found.median(arm).value)

    def gain(self, arm: str = "") -> Interval:
        """Time of full attention divided by that of a windowed arm, the fastest unless named."""
        return self.found.speedup(arm or self.fastest, "full")


def measure(context: Context, ceilings: Probe, arms: dict[str, attention.Windowed]) -> None:
    """Measures the speed-ups at the paper's length, and how memory grows; charts gains and times."""
    length = context["length"]
    main = _cell(context, ceilings, arms, length, forward, "forward")
    _report(context, "speedup", main, main.fastest)
    _report(context, "speedup_flex", main, "flex" if "flex" in main.found.samples else main.fastest)
    both = _cell(context, ceilings, arms, length, forward_and_backward, "training")
    _report(context, "speedup_training", both, both.fastest)
    cells = [main]
    for number, other in enumerate(context["lengths"]):
        context.progress(0.6 + 0.35 * number / len(context["lengths"]), f"forward at {other} tokens")
        cells.append(_cell(context, ceilings, arms, other, forward))
        release(context.device)
    cells.sort(key=lambda cell: cell.length)
    _memory(context, arms[main.fastest], [cell.length for cell in cells])
    _charts(context, cells)


def forward(attend: attention.Attend, given: list[torch.Tensor]) -> Work:
    """Work: the forward pass alone, nothing kept for backward."""
    return lambda call: torch.no_grad()(attend)(*given)


def forward_and_backward(attend: attention.Attend, given: list[torch.Tensor]) -> Work:
    """Work: the three gradients."""
    gradient = torch.randn_like(given[0])
    return lambda call: torch.autograd.grad(attend(*given), given, gradient)


def _cell(
    context: Context,
    ceilings: Probe,
    arms: dict[str, attention.Windowed],
    length: int,
    phase: Callable[[attention.Attend, list[torch.Tensor]], Work],
    main: str = "",
) -> Cell:
    given = attention.random(context, length)
    works = {"full": phase(attention.full, given)}
    for name, attend in arms.items():
        works[name] = phase(partial(_within, attend, context["window"]), given)
    how = profile(context.preset, KERNEL, warm_up_calls=2, max_s=3.0 if main else 0.5)
    found = compare(works, "full", how, context.device)
    if main:
        context.keep(main, found)
    else:
        context.samples[f"forward, {length} tokens"] = dict(found.samples)
    work = 3.5 if phase is forward_and_backward else 1.0
    pairs = pairs_of(length, length), pairs_of(length, context["window"])
    each = 4 * context["heads"] * context["head_dim"] * work
    least = tuple(ceilings.least_time(each * count) * 1e3 for count in pairs)
    return Cell(length, found, (least[0], least[1]))


def pairs_of(length: int, window: int) -> float:
    """Queries and keys that meet, a causal window: n W - W (W - 1) / 2, and half the square below W."""
    window = min(window, length)
    return length * window - window * (window - 1) / 2


def _within(
    attend: attention.Windowed, window: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor
) -> torch.Tensor:
    return attend(q, k, v, window)


def _report(context: Context, name: str, cell: Cell, arm: str) -> None:
    full, windowed = cell.found.median("full").value, cell.found.median(arm).value
    context.measure(
        name,
        cell.gain(arm),
        predicted=cell.least[0] / cell.least[1],
        predicted_note="Queries and keys that meet: n^2 / 2 against n W - W^2 / 2; another kernel than "
        "that of full attention may beat it.",
        noise=cell.found.noise(),
        detail={
            "arm": arm,
            "length": cell.length,
            "window": context["window"],
            "fraction_of_limit": {"candidate": cell.least[1] / windowed, "baseline": cell.least[0] / full},
            "arms": cell.found.figures(),
            "same_kernel": cell.gain("flash window").value if "flash window" in cell.found.samples else None,
        },
    )


def _memory(context: Context, attend: attention.Windowed, lengths: list[int]) -> None:
    """Measures memory_slope: extra memory of forward and backward; guarded where a kernel skips."""
    found = []
    for length in lengths:
        release(context.device)
        given = attention.random(context, length)
        work = forward_and_backward(partial(_within, attend, context["window"]), given)
        found.append(peak_bytes(lambda work=work: work(0), context.device))
    grown = slope(lengths, found)
    context.measure("memory_slope", grown, predicted=1.0, predicted_note="By the algorithm.")
    if context.device.type == "cuda":
        context.guard(
            "memory_linear", abs(grown.value - 1), SLOPE_TOLERANCE, "Distance of the slope from one."
        )


def _charts(context: Context, cells: list[Cell]) -> None:
    lengths = [cell.length for cell in cells]
    context.chart(
        "speedup",
        f"Windowed against full attention, forward, window {context['window']}",
        ("Sequence length", "tokens", True),
        ("Speed-up", "x", True),
        [
            *(curve(arm, lengths, [cell.gain(arm) for cell in cells]) for arm in _windowed(cells)),
            {"label": "roofline limit", "x": lengths, "y": [cell.least[0] / cell.least[1] for cell in cells]},
            level("claimed by the paper", lengths, CLAIMED),
        ],
    )
    context.chart(
        "time",
        "Time of attention, forward",
        ("Sequence length", "tokens", True),
        ("Time", "ms", True),
        [
            curve(arm, lengths, [cell.found.median(arm) for cell in cells])
            for arm in ("full", *_windowed(cells))
        ],
    )


def _windowed(cells: list[Cell]) -> list[str]:
    return [arm for arm in cells[0].found.samples if not arm.startswith("full")]
