"""Guards: both schedulers give each request the same tokens, and the costs describe the real engine."""

import torch

from reproduce.recipes.context import Context

from . import engine as engines
from .costs import Costs
from .engine import Slots
from .requests import Request, at_rate, trace
from .scheduling import Placed, by_iteration, by_request

REQUESTS = 24
SLOTS = 8
AGREES = {"full": 0.1, "smoke": 1000.0}  # a CPU shared with others only shows that it can be replayed


class Listening:
    """An engine that keeps each request's tokens before its slot is used again."""

    def __init__(self, engine: Slots) -> None:
        self._engine = engine
        self._inside: dict[int, Request] = {}
        self.tokens: dict[int, list[int]] = {}

    def prefill(self, placed: Placed) -> float:
        """As the engine does; those whose slots are taken have ended."""
        for slot, _ in placed:
            self._end(slot)
        self._inside.update(placed)
        return self._engine.prefill(placed)

    def decode(self, placed: Placed, longest: int) -> float:
        """As the engine does."""
        return self._engine.decode(placed, longest)

    def finish(self) -> dict[int, list[int]]:
        """The tokens of all requests by their numbers."""
        for slot in list(self._inside):
            self._end(slot)
        return self.tokens

    def _end(self, slot: int) -> None:
        if request := self._inside.pop(slot, None):
            self.tokens[request.number] = self._engine.tokens(slot, request.prompt, request.output)


def same_tokens(context: Context) -> None:
    """Greedy decoding in 64-bit arithmetic by two layers of the model: not one token may differ."""
    name = context["shape"]
    model = engines.build(name, 2, torch.float64, context.device)
    requests = at_rate(trace(REQUESTS, seed=0, shrink=8), 1e6)  # all at once: batches are full
    found = []
    for schedule in (by_request(SLOTS), by_iteration(SLOTS)):
        listening = Listening(Slots(model, SLOTS, engines.GRAIN[name]))
        schedule(requests, listening)
        found.append(listening.finish())
    different = sum(
        a != b for r in requests for a, b in zip(found[0][r.number], found[1][r.number], strict=True)
    )
    variety = len({token for tokens in found[0].values() for token in tokens})
    context.guard(
        "same_tokens",
        different,
        0,
        f"Tokens that differ between the schedulers, of {sum(r.output for r in requests)} "
        f"({variety} different ones) for {REQUESTS} requests.",
    )


def real_replay(context: Context, engine: Slots, costs: Costs, rate: float) -> None:
    """Serves a trace once with real forward passes under both schedulers; guards the costs by it."""
    requests = at_rate(trace(context["replayed"], seed=99, shrink=context["shrink"]), rate)
    off, seconds = [], {}
    for name, schedule in (
        ("request", by_request(context["slots"])),
        ("iteration", by_iteration(context["slots"])),
    ):
        expected = schedule(requests, costs).latency
        real = schedule(requests, engine).latency
        off.append(abs(real / expected - 1))
        seconds[name] = {"real_s_a_token": real, "expected_s_a_token": expected}
    context.samples["real replay"] = seconds
    context.guard(
        "costs_describe_the_engine",
        max(off),
        AGREES[context.preset],
        f"Largest relative difference of the median latency of {len(requests)} requests served by real "
        f"forward passes to that by the timed costs, at {rate:.3g} requests a second.",
    )
