"""The trace of a run: one point a second of GPU memory, utilisation, power, temperature and clock."""

import threading
import time
from types import TracebackType
from typing import Any

from reproduce.recipes.events import Events
from reproduce.recipes.gpu import POWER_CAP, Gpu, slowed_by

PERIOD_S = 1.0
THROTTLED_LIMIT = 0.05  # the share of points that may be slowed by heat or hardware (RECIPES, part A.5)


class Trace:
    """Samples a GPU in a thread while a run lasts; without a GPU it only keeps the time."""

    def __init__(self, gpu: Gpu | None, events: Events) -> None:
        self.gpu, self._events = gpu, events
        self.points: list[dict[str, Any]] = []
        self.masks: list[int] = []
        self.processes = [gpu.processes()] if gpu else []
        self.joules: float | None = None
        self.seconds = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="trace", daemon=True)

    def __enter__(self) -> "Trace":
        self._begun = time.monotonic()
        self._before = self.gpu.millijoules() if self.gpu else None
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self.seconds = time.monotonic() - self._begun
        if self.gpu and self._before is not None:
            self.joules = (self.gpu.millijoules() - self._before) / 1000
        if self.gpu:
            self.processes.append(self.gpu.processes())

    @property
    def other_processes(self) -> int:
        """Other processes seen on the GPU before this one used it, or beside it at the end."""
        before, after = [*self.processes, None, None][:2]
        return max(before or 0, (after or 1) - 1)

    @property
    def throttled(self) -> float:
        """The share of points at which heat or hardware held the clocks down."""
        return sum(bool(slowed_by(mask)) for mask in self.masks) / max(1, len(self.masks))

    @property
    def power_capped(self) -> float:
        """The share of points at which the card's own power limit held the clocks down."""
        return sum(bool(mask & POWER_CAP) for mask in self.masks) / max(1, len(self.masks))

    def _sample(self) -> None:
        while self.gpu and not self._stop.is_set():
            point = {"t": round(time.monotonic() - self._begun, 3), **self.gpu.now()}
            self.points.append(point)
            self.masks.append(self.gpu.slowed() or 0)
            self._events.send("trace", **point)
            self._stop.wait(PERIOD_S)
