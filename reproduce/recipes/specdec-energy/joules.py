"""Energy of both arms in turn, A B A B, and what the GPU said about its clocks meanwhile."""

import time
from dataclasses import dataclass, field
from typing import Any

from reproduce.recipes.context import Context
from reproduce.recipes.energy import energy
from reproduce.recipes.gpu import slowed_by
from reproduce.recipes.toolbox import Work, synchronise

from .decoding import Arms


@dataclass
class Spent:
    """Joules a token of both arms, window by window; raw, and above the idle power."""

    batch: int
    alone: list[float] = field(default_factory=list)
    speculative: list[float] = field(default_factory=list)
    above_idle: dict[str, list[float]] = field(default_factory=lambda: {"alone": [], "speculative": []})
    watts: dict[str, list[float]] = field(default_factory=lambda: {"alone": [], "speculative": []})
    tokens: float = 0.0  # an iteration, each sequence
    windows: list[dict[str, Any]] = field(default_factory=list)
    slowed: int = 0  # windows after which the GPU gave a reason for lower clocks

    @property
    def ratios(self) -> list[float]:
        """Speculative over alone, of windows that followed each other."""
        return [b / a for a, b in zip(self.alone, self.speculative, strict=True)]

    def spread(self) -> float:
        """Largest relative distance between two windows of the same arm."""
        return max((max(arm) - min(arm)) / (sum(arm) / len(arm)) for arm in (self.alone, self.speculative))


def windows(context: Context, arms: Arms, count: int, seconds: float, idle: float | None) -> Spent:
    """`count` windows of each arm, `seconds` long."""
    found = Spent(arms.batch)
    _window(context, arms.speculative, seconds / 4, idle)  # uncounted: clocks and temperature settle
    for _ in range(count):
        for name, work in (("alone", arms.alone), ("speculative", arms.speculative)):
            window = _window(context, work, seconds, idle)
            made = arms.batch * (arms.tokens if name == "speculative" else 1.0)
            getattr(found, name).append(window["joules"] / made)
            if window.get("joules_above_idle") is not None:
                found.above_idle[name].append(window["joules_above_idle"] / made)
            found.watts[name].append(window["watts"])
            found.slowed += _slowed(context)
            found.windows.append({"arm": name, **window, **_state(context)})
    found.tokens = arms.tokens
    return found


def _window(context: Context, work: Work, seconds: float, idle: float | None) -> dict[str, Any]:
    """One window. Without a GPU seconds stand for joules, which is no energy and never scored.

    Raises RuntimeError on a GPU whose energy cannot be read.
    """
    found = energy(work, context.gpu, seconds, idle)
    if found["joules"] is not None:
        return found
    if context.device.type == "cuda":
        raise RuntimeError(f"Energy cannot be measured here: {found['reason']}.")
    begun, calls = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds or calls < 3:
        work(calls)
        calls += 1
    synchronise(context.device)
    took = time.perf_counter() - begun
    return {"joules": took / calls, "watts": 1.0, "calls": calls, "seconds": took, "reason": found["reason"]}


def _slowed(context: Context) -> int:
    mask = context.gpu.slowed() if context.gpu else None
    return int(bool(mask and slowed_by(mask)))


def _state(context: Context) -> dict[str, Any]:
    """Clock, temperature and power at the window's end."""
    if context.gpu is None:
        return {}
    now = context.gpu.now()
    return {name: now[name] for name in ("sm_clock_mhz", "temperature_c", "power_w")}
