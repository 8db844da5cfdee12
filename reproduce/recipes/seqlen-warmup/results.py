"""Tokens and seconds to a loss that both arms reach, and the largest rate at which no run diverges."""

from typing import Any

import numpy as np

from reproduce.recipes.blocks.learning import Curve
from reproduce.recipes.context import Context, curve, level
from reproduce.recipes.intervals import Interval, mean_of

from .arms import UNIT_OF_RATE, Arm, shape_of

TOKENS, SECONDS = 2.2, 3.7  # what the paper claims
TARGETS = (1.3, 1.2, 1.1, 1.05, 1.02, 1.0)  # losses of the chart, as multiples of the last


def report(context: Context, baseline: Arm, candidate: Arm) -> None:
    """Measures everything from both arms; keeps their curves; draws the charts."""
    slow, fast = (arm.curves[arm.best] for arm in (baseline, candidate))
    gains = [gain(*pair) for pair in zip(slow, fast, strict=True)]
    cheaper = flop(context, baseline) / flop(context, candidate)
    rates = [rate * UNIT_OF_RATE for rate in context["rates"]]
    detail = {"baseline_rate": rates[baseline.best], "candidate_rate": rates[candidate.best]}
    context.measure("token_ratio", mean_of([tokens for tokens, _ in gains]), detail=detail)
    context.measure(
        "time_ratio",
        mean_of([seconds for _, seconds in gains]),
        predicted=float(np.mean([tokens for tokens, _ in gains])) * cheaper,
        predicted_note=f"The gain in tokens times {cheaper:.3f}, the FLOP that short sequences save.",
    )
    finals = [[each.final for each in row] for row in (fast, slow)]
    context.measure("loss_delta", mean_of([a - b for a, b in zip(*finals, strict=True)]))
    stability(context, baseline, candidate)
    _keep(context, {"constant length": baseline, "length warm-up": candidate})
    _charts(context, {"constant length": baseline, "length warm-up": candidate}, rates)
    _gains(context, slow, fast)


def gain(slow: Curve, fast: Curve, multiple: float = 1.0) -> tuple[float, float]:
    """Tokens and seconds, baseline over candidate, to the worse of their last losses, times `multiple`."""
    target = max(slow.final, fast.final) * multiple
    tokens = [each.steps_to(target) for each in (slow, fast)]
    seconds = [each.seconds_to(target) for each in (slow, fast)]
    assert None not in (*tokens, *seconds)  # both end at or below it
    return tokens[0] / tokens[1], seconds[0] / seconds[1]


def stability(context: Context, baseline: Arm, candidate: Arm) -> None:
    """Measures lr_ratio and both shares of unstable runs; guards that the grid holds the answers."""
    largest = [largest_stable(context["rates"], arm.unstable()) for arm in (baseline, candidate)]
    stable = [each or context["rates"][0] for each in largest]
    context.measure(
        "lr_ratio",
        stable[1] / stable[0],
        n=context["seeds"],
        detail={"largest_stable_rates": [each * UNIT_OF_RATE for each in stable]},
    )
    context.measure("unstable_constant", float(baseline.unstable().mean()), n=baseline.unstable().size)
    context.measure("unstable_warm_up", float(candidate.unstable().mean()), n=candidate.unstable().size)
    if context.full:  # a dozen steps of the small preset may look like anything
        none = sum(each is None for each in largest)
        context.guard("smallest_rate_stable", none, 0, "Arms that diverge at the smallest rate already.")
        never = sum(each == context["rates"][-1] for each in largest)
        context.guard("largest_rate_unstable", never, 0, "Arms that diverge at no rate: theirs is not known.")


def largest_stable(rates: list[int], unstable: np.ndarray) -> int | None:
    """The largest rate up to which no seed diverges at any rate; None if the smallest does."""
    found = None
    for rate, seeds in zip(rates, unstable, strict=True):
        if seeds.any():
            break
        found = rate
    return found


def flop(context: Context, arm: Arm) -> float:
    """Training FLOP of one model of an arm, the causal half of attention."""
    shape = shape_of(context)
    inside = 12 * shape.layers * shape.width**2 + shape.vocabulary * shape.width
    each = [6 * length * (inside + shape.layers * shape.width * length) for length in arm.lengths]
    return float(context["sequences"] * sum(each))


def _keep(context: Context, arms: dict[str, Arm]) -> None:
    for name, arm in arms.items():
        finals = np.nan_to_num(arm.final(), posinf=-1).tolist()  # minus one: not a number
        context.samples[name] = {
            "final": {f"{rate}e-4": losses for rate, losses in zip(context["rates"], finals, strict=True)},
            "unstable": arm.unstable().astype(int).tolist(),
            "best": [each.record() for each in arm.curves[arm.best]],
        }


def _charts(context: Context, arms: dict[str, Arm], rates: list[float]) -> None:
    context.chart(
        "course",
        "Held-out loss at full length, each arm at its best rate",
        ("Tokens read", "", False),
        ("Held-out loss", "nats a byte", False),
        [
            curve(name, arm.curves[arm.best][0].marks, _over_seeds(arm.curves[arm.best]))
            for name, arm in arms.items()
        ],
    )
    context.chart(
        "rates",
        "Last held-out loss over the peak learning rate; runs that are not a number are left out",
        ("Peak learning rate", "", True),
        ("Held-out loss", "nats a byte", False),
        [_by_rate(name, arm, rates) for name, arm in arms.items()],
    )


def _over_seeds(curves: list[Curve]) -> list[Interval]:
    return [mean_of(losses) for losses in zip(*(each.validation for each in curves), strict=True)]


def _by_rate(name: str, arm: Arm, rates: list[float]) -> dict[str, Any]:
    finite = [(rate, row) for rate, row in zip(rates, arm.final(), strict=True) if np.isfinite(row).all()]
    return curve(name, [rate for rate, _ in finite], [mean_of(row.tolist()) for _, row in finite])


def _gains(context: Context, slow: list[Curve], fast: list[Curve]) -> None:
    pairs = list(zip(slow, fast, strict=True))
    found = [[gain(*pair, multiple) for pair in pairs] for multiple in TARGETS]
    tokens, seconds = ([mean_of([each[kind] for each in row]) for row in found] for kind in (0, 1))
    context.chart(
        "gains",
        "Tokens and seconds to a loss, constant length over warm-up",
        ("Loss to reach, over the last loss of the worse arm", "", False),
        ("Gain", "x", False),
        [
            curve("tokens", TARGETS, tokens),
            curve("seconds", TARGETS, seconds),
            level("claimed by the paper", TARGETS, TOKENS),
            level("claimed by the paper, seconds", TARGETS, SECONDS),
        ],
    )
