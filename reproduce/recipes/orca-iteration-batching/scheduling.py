"""Two schedulers of one engine: a batch of requests as a whole, or each iteration anew.

Time is virtual: it moves by what the engine says that its work took, and jumps to the next arrival when idle.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import Protocol

from .requests import Request

Placed = Sequence[tuple[int, Request]]  # slot, request


class Engine(Protocol):
    """What does the work, or knows what it costs; both return seconds."""

    def prefill(self, placed: Placed) -> float:
        """Computes the prompts as one padded batch; each request has its first token then."""

    def decode(self, placed: Placed, longest: int) -> float:
        """One token more for each; `longest` tokens lie in the fullest slot, the new one included."""


@dataclass
class Served:
    """How a trace went: seconds a token of each request, from arrival to its last token."""

    latencies: list[float] = field(default_factory=list)
    seconds: float = 0.0  # from the first arrival to the last token
    useful: int = 0  # slot-steps that made a token that was asked for
    steps: int = 0  # slot-steps in all

    @property
    def latency(self) -> float:
        """Median normalised latency, seconds a token."""
        return median(self.latencies)

    @property
    def utilisation(self) -> float:
        """Share of the computed slot-steps that made a wanted token."""
        return self.useful / self.steps if self.steps else 1.0


Scheduler = Callable[[list[Request], Engine], Served]


def by_request(limit: int) -> Scheduler:
    """Up to `limit` waiting requests as one batch, padded, until its slowest ends; then all are answered."""
    return partial(_by_request, limit)


def _by_request(limit: int, requests: list[Request], engine: Engine) -> Served:
    found, waiting, now = Served(), deque(requests), 0.0
    while waiting:
        now = max(now, waiting[0].arrival)
        batch: list[Request] = []
        while waiting and len(batch) < limit and waiting[0].arrival <= now:
            batch.append(waiting.popleft())
        placed = list(enumerate(batch))
        now += engine.prefill(placed)
        longest_prompt, most = max(r.prompt for r in batch), max(r.output for r in batch)
        for made in range(1, most):
            now += engine.decode(placed, longest_prompt + made)
        found.useful += sum(r.output - 1 for r in batch)
        found.steps += len(batch) * (most - 1)
        found.latencies += [(now - r.arrival) / r.output for r in batch]
    found.seconds = now - requests[0].arrival
    return found


def by_iteration(slots: int) -> Scheduler:
    """A finished request leaves at once and a waiting one takes its slot before the next iteration."""
    return partial(_by_iteration, slots)


def _by_iteration(slots: int, requests: list[Request], engine: Engine) -> Served:
    found, waiting, now = Served(), deque(requests), 0.0
    free, running, made = list(range(slots))[::-1], {}, {}
    while waiting or running:
        if not running:
            now = max(now, waiting[0].arrival)
        while waiting and free and waiting[0].arrival <= now:
            slot, request = free.pop(), waiting.popleft()
            now += engine.prefill([(slot, request)])
            running[slot], made[slot] = request, 1
        if ongoing := [(slot, r) for slot, r in running.items() if made[slot] < r.output]:
            now += engine.decode(ongoing, max(r.prompt + made[slot] for slot, r in ongoing))
            found.useful += len(ongoing)
            found.steps += len(ongoing)
            for slot, _ in ongoing:
                made[slot] += 1
        for slot in [slot for slot, r in running.items() if made[slot] >= r.output]:
            request = running.pop(slot)
            found.latencies.append((now - request.arrival) / request.output)
            free.append(slot)
        free.sort(reverse=True)  # the lowest slot first, so that a step computes few empty ones
    found.seconds = now - requests[0].arrival
    return found
