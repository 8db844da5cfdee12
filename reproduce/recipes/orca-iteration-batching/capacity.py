"""How much each scheduler serves at the same latency, on the costs timed here; latency against load."""

from collections.abc import Callable, Mapping

import numpy as np

from reproduce.recipes.context import Context, curve, level
from reproduce.recipes.intervals import Interval, mean_of
from reproduce.recipes.roofline import Probe

from .costs import Costs
from .requests import Request, at_rate, trace
from .scheduling import Scheduler, Served, by_iteration, by_request

SLACK = 2.0  # target latency in latencies of an idle server. Source: the paper's section 6.2
HALVINGS = 9
IDLE, FLOODED = 1e-6, 1e9  # requests a second
RATES = 7  # points of the chart


def measure(context: Context, costs: Costs, ceilings: Probe) -> float:
    """Measures all gains and utilisations; the requests a second that iteration-level scheduling sustains."""
    seeds = range(context["seeds"])
    traces = [trace(context["requests"], seed, shrink=context["shrink"]) for seed in seeds]
    heavy = [trace(context["requests"], seed, heavy=True, shrink=context["shrink"]) for seed in seeds]
    context.progress(0.35, "requests a second at the target latency")
    found = [_at_target(context, requests, costs) for requests in traces]
    nearness = {
        "candidate": costs.fraction_of_limit(context["slots"], ceilings),
        "baseline": costs.fraction_of_limit(found[0][2], ceilings),
    }
    _report(context, "throughput_gain", found, {"fraction_of_limit": nearness})
    context.progress(0.6, "the same with heavy-tailed outputs")
    _report(
        context, "throughput_gain_heavy", [_at_target(context, requests, costs) for requests in heavy], {}
    )
    context.progress(0.7, "under overload")
    _saturated(context, traces, costs)
    rate = float(np.mean([iteration for _, iteration, _ in found]))
    _chart(context, traces, costs, found)
    return rate


def _limits(context: Context) -> list[int]:
    """Batches that request-level scheduling may choose."""
    return [1 << bit for bit in range(context["slots"].bit_length())]


def _at_target(context: Context, requests: list[Request], costs: Costs) -> tuple[float, float, int]:
    """Requests a second of the best request-level batch and of iteration-level scheduling; that batch."""
    target = SLACK * by_iteration(1)(at_rate(requests, IDLE), costs).latency
    best = {limit: sustained(by_request(limit), requests, costs, target) for limit in _limits(context)}
    limit = max(best, key=best.__getitem__)
    return best[limit], sustained(by_iteration(context["slots"]), requests, costs, target), limit


def sustained(schedule: Scheduler, requests: list[Request], costs: Costs, target: float) -> float:
    """Requests a second served at the highest rate whose median latency is within the target (bisection)."""
    served: Callable[[float], Served] = lambda rate: schedule(at_rate(requests, rate), costs)  # noqa: E731
    flooded = served(FLOODED)
    most = len(requests) / flooded.seconds
    if flooded.latency <= target:
        return most
    low, high = most / 200, 4 * most
    for _ in range(HALVINGS):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if served(middle).latency <= target else (low, middle)
    return len(requests) / served(low).seconds


def _report(
    context: Context, name: str, found: list[tuple[float, float, int]], detail: Mapping[str, object]
) -> None:
    context.samples[name] = [
        {"request_level": slow, "iteration_level": fast, "batch": limit} for slow, fast, limit in found
    ]
    context.measure(
        name,
        mean_of([fast / slow for slow, fast, _ in found]),
        detail={
            "requests_per_s": {
                "baseline": [slow for slow, _, _ in found],
                "candidate": [fast for _, fast, _ in found],
            },
            "baseline_batch": [limit for _, _, limit in found],
            **detail,
        },
    )


def _saturated(context: Context, traces: list[list[Request]], costs: Costs) -> None:
    """All requests at once: what slots that never wait for the slowest are worth by themselves."""
    slots = context["slots"]
    whole = [by_request(slots)(at_rate(requests, FLOODED), costs) for requests in traces]
    each = [by_iteration(slots)(at_rate(requests, FLOODED), costs) for requests in traces]
    bound = float(np.mean([_bound(requests, slots) for requests in traces]))
    context.measure(
        "throughput_gain_saturated",
        mean_of([a.seconds / b.seconds for a, b in zip(whole, each, strict=True)]),
        predicted=bound,
        predicted_note="Longest output of a batch over the mean output, if a step costs the same for both.",
    )
    for name, served in (("slots_used_request", whole), ("slots_used_iteration", each)):
        context.measure(name, mean_of([one.utilisation for one in served]))


def _bound(requests: list[Request], slots: int) -> float:
    """Steps of whole batches over those of slots that are always full."""
    outputs = [request.output for request in requests]
    batches = [outputs[at : at + slots] for at in range(0, len(outputs), slots)]
    return sum(max(batch) for batch in batches) * slots / sum(outputs)


def _chart(
    context: Context, traces: list[list[Request]], costs: Costs, found: list[tuple[float, float, int]]
) -> None:
    slow, fast, limit = found[0]
    rates = np.geomspace(slow / 4, fast * 1.5, RATES).tolist()
    lines: dict[str, list[Interval]] = {}
    for label, schedule in (
        ("whole requests, its best batch", by_request(limit)),
        ("whole requests, all slots", by_request(context["slots"])),
        ("each iteration anew", by_iteration(context["slots"])),
    ):
        lines[label] = [
            mean_of([schedule(at_rate(requests, rate), costs).latency * 1e3 for requests in traces])
            for rate in rates
        ]
    target = SLACK * by_iteration(1)(at_rate(traces[0], IDLE), costs).latency * 1e3
    context.chart(
        "latency",
        "Latency by load, real costs of every step",
        ("Requests a second", "1/s", True),
        ("Median latency a token", "ms", True),
        [curve(label, rates, values) for label, values in lines.items()]
        + [level("target latency", rates, target)],
    )
