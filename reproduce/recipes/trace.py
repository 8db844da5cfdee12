"""The trace of a run: one point a second and GPU of memory, utilisation, power, temperature and clock."""

import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from reproduce.recipes.events import Events
from reproduce.recipes.gpu import POWER_CAP, Gpu, slowed_by

PERIOD_S = 1.0
POINTS_LIMIT = 20_000  # of one bundle
THROTTLED_LIMIT = 0.05  # the share of points that may be slowed by heat or hardware (RECIPES, part A.5)


class Trace:
    """Samples the GPUs of a run in a thread while it lasts; without a GPU it only keeps the time."""

    def __init__(self, gpus: Sequence[Gpu], events: Events) -> None:
        self.gpus, self._events = gpus, events
        self.points: list[dict[str, Any]] = []
        self.masks: list[int] = []
        self.joules: float | None = None
        self.seconds = 0.0
        self._before = [gpu.processes() for gpu in gpus]
        self._after: list[int | None] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="trace", daemon=True)

    def __enter__(self) -> "Trace":
        self._begun = time.monotonic()
        self._counters = [gpu.millijoules() for gpu in self.gpus]
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> None:
        """Stops sampling and takes the sums."""
        self._stop.set()
        self._thread.join()
        self.seconds = time.monotonic() - self._begun
        if self.gpus and None not in self._counters:
            spent = [gpu.millijoules() - was for gpu, was in zip(self.gpus, self._counters, strict=True)]
            self.joules = sum(spent) / 1000
        self._after = [gpu.processes() for gpu in self.gpus]

    @property
    def other_processes(self) -> int:
        """Other processes seen on the GPUs before this run used them, or beside its own at the end."""
        seen = zip(self._before, self._after or [None] * len(self.gpus), strict=True)
        return sum(max(before or 0, (after or 1) - 1) for before, after in seen)

    @property
    def throttled(self) -> float:
        """The share of points at which heat or hardware held the clocks down."""
        return sum(bool(slowed_by(mask)) for mask in self.masks) / max(1, len(self.masks))

    @property
    def power_capped(self) -> float:
        """The share of points at which the card's own power limit held the clocks down."""
        return sum(bool(mask & POWER_CAP) for mask in self.masks) / max(1, len(self.masks))

    def kept(self) -> list[dict[str, Any]]:
        """The points for the bundle: all, or of a very long run only every second, third, ... of each GPU."""
        stride = -(-len(self.points) // POINTS_LIMIT) or 1
        each = max(1, len(self.gpus))
        return [point for place, point in enumerate(self.points) if place // each % stride == 0]

    def _sample(self) -> None:
        while self.gpus and not self._stop.is_set():
            at = round(time.monotonic() - self._begun, 3)
            for gpu in self.gpus:
                point = {"t": at, **gpu.now()}
                self.points.append(point)
                self.masks.append(gpu.slowed() or 0)
                self._events.send("trace", **point)
            self._stop.wait(PERIOD_S)
