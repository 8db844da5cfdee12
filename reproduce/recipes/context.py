"""What a recipe's run(context) works with: its parameters and device, and where its results go."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from reproduce.recipes.events import EventError, Events
from reproduce.recipes.gpu import Gpu
from reproduce.recipes.intervals import Interval
from reproduce.recipes.roofline import Probe, probe
from reproduce.recipes.spec import Recipe
from reproduce.recipes.toolbox import Comparison

SEED = 1234
NOISE_LIMIT = {"cuda": 0.02, "cpu": 0.5}  # a CPU shared with others is only asked to be sane


class Context:
    """One run in progress. Everything reported is kept for the bundle and sent to the harness at once.

    On several GPUs each has a process of its own, and only what the first reports is kept (rank 0).
    """

    def __init__(
        self,
        recipe: Recipe,
        preset: str,
        parameters: Mapping[str, Any],
        device: torch.device,
        events: Events,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.recipe, self.preset, self.parameters = recipe, preset, parameters
        self.device, self._events = device, events
        self.gpu: Gpu | None = None  # set once NVML was asked
        self.rank, self.world_size = rank, world_size
        self.metrics: list[dict[str, Any]] = []
        self.guards: list[dict[str, Any]] = []
        self.series: list[dict[str, Any]] = []
        self.samples: dict[str, Any] = {}
        self.timings: dict[str, Any] = {}
        self.data: dict[str, Any] = {}
        self.lines: list[str] = []
        self._begun = time.monotonic()

    def __getitem__(self, parameter: str) -> Any:
        return self.parameters[parameter]

    @property
    def full(self) -> bool:
        """Whether this is the preset whose numbers may be held against a claim."""
        return self.preset == "full"

    def progress(self, fraction: float, step: str) -> None:
        """What is being done now, and how much of the whole is done (0 to 1)."""
        self._events.send("progress", fraction=min(1.0, max(0.0, fraction)), step=step[:200])
        self._note(f"[{fraction:4.0%}] {step}")

    def log(self, line: str) -> None:
        """A line for whoever watches."""
        self._events.send("log", text=line[:8000])
        self._note(line)

    def probe(self) -> Probe:
        """The ceilings of this hardware, measured now and kept in the record."""
        found = probe(self.device)
        self.timings["probe"] = found.record()
        return found

    def measure(
        self,
        name: str,
        value: float | Interval,
        *,
        n: int = 1,
        predicted: float | None = None,
        predicted_note: str = "",
        noise: float | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        """Reports one measure that recipe.toml promises; a plain number is an exact count.

        Raises EventError for a name that is not promised, and for a number that is not finite.
        """
        found = (
            value if isinstance(value, Interval) else Interval(float(value), float(value), float(value), n)
        )
        metric = {
            "name": name,
            "value": found.value,
            "low": found.low,
            "high": found.high,
            "n": found.n,
            "unit": self._unit(name),
            "predicted": predicted,
            "predicted_note": predicted_note,
            "noise": noise,
            "detail": dict(detail or {}),
        }
        self._events.send("metric", **metric)
        self.metrics.append(metric)
        self._note(f"{name} = {found.value:.5g} [{found.low:.5g}, {found.high:.5g}] {metric['unit']}")

    def guard(self, name: str, value: float, limit: float, detail: str, passed: bool | None = None) -> None:
        """Reports a condition of a valid result: by default `value <= limit`."""
        verdict = bool(value <= limit) if passed is None else bool(passed)
        guard = {
            "name": name,
            "passed": verdict,
            "value": float(value),
            "limit": float(limit),
            "detail": detail,
        }
        self._events.send("guard", **guard)
        self.guards.append(guard)
        self._note(f"guard {name}: {'passed' if verdict else 'FAILED'} ({value:.3g}, limit {limit:.3g})")

    def keep(self, name: str, comparison: Comparison) -> None:
        """Keeps a comparison's raw samples and how they were taken; guards against a noisy device."""
        self.samples[name] = dict(comparison.samples)
        self.timings[name] = comparison.record()
        limit = NOISE_LIMIT[self.device.type]
        again = comparison.again()
        self.guard(
            f"quiet_{name}",
            comparison.bias(),
            limit,
            f"The baseline against itself gave {again.value:.4f} [{again.low:.4f}, {again.high:.4f}]; "
            f"the interval may miss one by at most {limit:.0%}.",
        )

    def chart(
        self,
        name: str,
        title: str,
        x: tuple[str, str, bool],
        y: tuple[str, str, bool],
        lines: Sequence[Mapping[str, Any]],
    ) -> None:
        """A chart: axes as (name, unit, logarithmic), lines as {label, x, y[, low, high]}."""
        axes = [dict(zip(("name", "unit", "log"), axis, strict=True)) for axis in (x, y)]
        kept = [dict(line) for line in lines if line["x"]]
        self.series.append({"name": name, "title": title, "x": axes[0], "y": axes[1], "lines": kept})

    def missing(self) -> list[str]:
        """Names that recipe.toml promises and that were not reported."""
        reported = {metric["name"] for metric in self.metrics}
        return [measure.name for measure in self.recipe.measures if measure.name not in reported]

    def _unit(self, name: str) -> str:
        try:
            return self.recipe.unit(name)
        except KeyError as error:
            raise EventError(
                f"The recipe reported {name!r}, which its recipe.toml does not promise."
            ) from error

    def _note(self, line: str) -> None:
        self.lines.append(f"{time.monotonic() - self._begun:8.2f} s  {line}")


def curve(label: str, x: Sequence[float], values: Sequence[Interval]) -> dict[str, Any]:
    """One line of a chart from intervals."""
    return {
        "label": label,
        "x": [float(at) for at in x],
        "y": [value.value for value in values],
        "low": [value.low for value in values],
        "high": [value.high for value in values],
    }


def level(label: str, x: Sequence[float], value: float) -> dict[str, Any]:
    """A horizontal line across a chart: what the paper claims, or the roofline's limit."""
    return {"label": label, "x": [float(min(x)), float(max(x))], "y": [value, value]}
