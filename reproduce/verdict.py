"""Verdicts: what a measured number says about a claimed one. Pure; the rules are those shown on /about.

A ratio is judged by its log-gain g = ln(measured) / ln(claimed): 1 is all of the claimed effect, 0 is none.
"""

from dataclasses import dataclass
from math import log

REPRODUCED, SAME_DIRECTION, NOT_REPRODUCED = "reproduced", "same_direction", "not_reproduced"
INCONCLUSIVE, NOT_COMPARABLE, INVALID = "inconclusive", "not_comparable", "invalid"

# Shares of the claimed effect. RECIPES: frozen, and never tuned until something passes.
RATIO_REPRODUCED, RATIO_SAME = 0.8, 0.3
FRACTION_REPRODUCED, FRACTION_SAME = 0.8, 0.35
SLOPE_REPRODUCED, SLOPE_SAME = 0.05, 0.15
EXACT_TOLERANCE, EXACT_SLACK = 0.01, 5
ORDER_SAME = 0.5


@dataclass(frozen=True)
class Claimed:
    """What the paper says. `range_printed`: the paper itself prints [low, high]; else an editor chose it."""

    value: float
    low: float
    high: float
    better: str  # "higher", "lower" or "either"
    kind: str  # "ratio" or "absolute"
    range_printed: bool = False


@dataclass(frozen=True)
class Measured:
    """What a run earned: a value, its 95 % interval, and the relative noise floor (A/A) if it was timed."""

    value: float
    low: float
    high: float
    noise: float | None = None
    predicted: float | None = None


@dataclass(frozen=True)
class Verdict:
    code: str
    reason: str


def judge(claimed: Claimed | None, measured: Measured, rule: str, tolerance: float | None = None) -> Verdict:
    """The verdict of a scored measurement by one of the rules ratio, band, frac, exact, exp, order.

    Raises ValueError for a rule that does not exist; recipe.toml is checked for that long before.
    """
    if claimed is None:
        return Verdict(NOT_COMPARABLE, "The paper makes no claim that this number could be held against.")
    if claimed.kind == "absolute" and rule not in {"exact", "exp"}:
        return Verdict(NOT_COMPARABLE, "An absolute number claimed on other hardware is shown, never scored.")
    if rule == "none":
        return Verdict(NOT_COMPARABLE, "This number is shown for context; the recipe does not score it.")
    if rule not in RULES:
        raise ValueError(f"no such verdict rule: {rule!r}")
    return RULES[rule](claimed, measured, tolerance)


def _ratio(claimed: Claimed, measured: Measured, _: float | None) -> Verdict:
    reference = claimed.value
    if claimed.range_printed:  # the weakest end that the paper itself prints; editors' ranges never loosen
        reference = claimed.high if claimed.better == "lower" else claimed.low
    if min(reference, measured.value, measured.low) <= 0 or reference == 1:
        return Verdict(
            NOT_COMPARABLE, "A ratio of zero, below zero, or of exactly 1 has no log-gain to compare."
        )
    full = log(reference)
    gains = sorted(log(bound) / full for bound in (measured.low, measured.high))
    gain = log(measured.value) / full
    floor = log(1 + (measured.noise or 0)) / abs(full)
    share = f"{_percent(gain)} of the claimed log-gain"
    if floor >= RATIO_REPRODUCED:
        return Verdict(INCONCLUSIVE, "The noise floor of this measurement is as large as the claimed effect.")
    if gains[0] >= RATIO_REPRODUCED:
        beyond = " and beyond it" if gain > 1 else ""
        return Verdict(
            REPRODUCED, f"The interval holds {share}{beyond}; {_percent(RATIO_REPRODUCED)} is needed."
        )
    if gain >= RATIO_SAME:
        if gains[0] > floor:
            return Verdict(SAME_DIRECTION, f"An effect, but smaller than claimed: {share}.")
        return Verdict(INCONCLUSIVE, "The interval reaches into the noise around no effect at all.")
    if gains[1] >= RATIO_REPRODUCED:
        return Verdict(
            INCONCLUSIVE, "The interval is so wide that it holds both no effect and the claimed one."
        )
    opposite = "The effect runs the other way." if gains[1] < -floor else f"Only {share}."
    return Verdict(NOT_REPRODUCED, opposite)


def _band(claimed: Claimed, measured: Measured, _: float | None) -> Verdict:
    half = (claimed.high - claimed.low) / 2
    if (measured.high - measured.low) / 2 > half:
        return Verdict(INCONCLUSIVE, "The interval is wider than the band it is held against.")
    exceeds = _exceeds(claimed, measured.value)
    if claimed.low <= measured.value <= claimed.high or exceeds:
        where = "beyond" if exceeds else "inside"
        return Verdict(
            REPRODUCED, f"Measured {where} the band {_number(claimed.low)} to {_number(claimed.high)}."
        )
    middle = (claimed.high + claimed.low) / 2
    if abs(measured.value - middle) <= 2 * half:
        return Verdict(SAME_DIRECTION, "Outside the band, but within twice its half-width.")
    return Verdict(NOT_REPRODUCED, f"Outside the band {_number(claimed.low)} to {_number(claimed.high)}.")


def _fraction(claimed: Claimed, measured: Measured, _: float | None) -> Verdict:
    if claimed.value <= 0:
        return Verdict(NOT_COMPARABLE, "A share of a claimed zero cannot be taken.")
    share = measured.value / claimed.value
    if measured.low / claimed.value >= FRACTION_REPRODUCED:
        return Verdict(REPRODUCED, f"The interval holds {_percent(share)} of the claimed fraction.")
    if share >= FRACTION_SAME:
        return Verdict(SAME_DIRECTION, f"{_percent(share)} of the claimed fraction.")
    if measured.high / claimed.value >= FRACTION_REPRODUCED:
        return Verdict(INCONCLUSIVE, "The interval is too wide to tell.")
    return Verdict(NOT_REPRODUCED, f"Only {_percent(share)} of the claimed fraction.")


def _exact(claimed: Claimed, measured: Measured, tolerance: float | None) -> Verdict:
    allowed = EXACT_TOLERANCE if tolerance is None else tolerance
    scale = abs(claimed.value) or 1
    off = abs(measured.value - claimed.value) / scale
    said = f"{_percent(off)} from the claimed value; {_percent(allowed)} is allowed."
    if off <= allowed or (claimed.range_printed and claimed.low <= measured.value <= claimed.high):
        return Verdict(REPRODUCED, said)
    return Verdict(SAME_DIRECTION if off <= EXACT_SLACK * allowed else NOT_REPRODUCED, said)


def _slope(claimed: Claimed, measured: Measured, tolerance: float | None) -> Verdict:
    allowed = SLOPE_REPRODUCED if tolerance is None else tolerance
    off = abs(measured.value - claimed.value)
    if (measured.high - measured.low) / 2 > SLOPE_SAME:
        return Verdict(INCONCLUSIVE, "The slope's interval is too wide to tell.")
    if off <= allowed or (measured.low <= claimed.high and measured.high >= claimed.low):
        return Verdict(REPRODUCED, f"The slope is {off:.2f} from the claimed exponent.")
    code = SAME_DIRECTION if off <= SLOPE_SAME else NOT_REPRODUCED
    return Verdict(code, f"The slope is {off:.2f} from the claimed exponent; {allowed:.2f} is allowed.")


def _order(claimed: Claimed, measured: Measured, _: float | None) -> Verdict:
    """1: every stated ordering held, by the recipe's own test; 0.5: the main one; 0: not even it."""
    if measured.value >= claimed.value:
        return Verdict(REPRODUCED, "Every stated ordering held.")
    if measured.value >= ORDER_SAME * claimed.value:
        return Verdict(SAME_DIRECTION, "The main ordering held, but not every other one.")
    return Verdict(NOT_REPRODUCED, "The main ordering did not hold.")


RULES = {
    "ratio": _ratio,
    "band": _band,
    "frac": _fraction,
    "exact": _exact,
    "exp": _slope,
    "order": _order,
    "none": None,
}


def _exceeds(claimed: Claimed, value: float) -> bool:
    return (claimed.better == "higher" and value > claimed.high) or (
        claimed.better == "lower" and value < claimed.low
    )


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _number(value: float) -> str:
    return f"{value:,.4g}"
