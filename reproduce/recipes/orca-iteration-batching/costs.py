"""An engine that knows what each step costs, because it has timed it: replays of a trace then take no GPU."""

from collections.abc import Callable
from statistics import median

from reproduce.recipes.roofline import Probe

from .engine import Slots
from .requests import Request
from .scheduling import Placed

REPEATS = 5


class Costs:
    """Answers with the median seconds of the same step on the real engine, timed when first asked for."""

    def __init__(self, engine: Slots) -> None:
        self._engine = engine
        self.samples: dict[str, list[float]] = {}
        self._known: dict[tuple[str, int, int], float] = {}

    def prefill(self, placed: Placed) -> float:
        """Seconds of a padded prompt batch."""
        cell = ("prefill", *self._engine.prefill_cell(placed))
        return self._cost(cell, lambda: self._engine.prefill(placed))

    def decode(self, placed: Placed, longest: int) -> float:
        """Seconds of a decode step."""
        cell = ("decode", *self._engine.decode_cell(placed, longest))
        return self._cost(cell, lambda: self._engine.decode(placed, longest))

    def fraction_of_limit(self, batch: int, ceilings: Probe) -> float:
        """Least time of a decode step by its bytes, over its measured time, with the smallest window."""
        placed, longest = [(batch - 1, Request(0, 0.0, 1, 1))], self._engine.grain
        _, window = self._engine.decode_cell(placed, longest)
        least = ceilings.least_time(moved=self._engine.decode_bytes(batch, window))
        return least / self.decode(placed, longest)

    def _cost(self, cell: tuple[str, int, int], step: Callable[[], float]) -> float:
        if cell not in self._known:
            step()
            seconds = [step() for _ in range(REPEATS)]
            self._known[cell] = median(seconds)
            self.samples[" ".join(map(str, cell))] = seconds
        return self._known[cell]
