"""Numbers again from a bundle's raw samples: medians of the arms, and the measures that follow from them."""

import math
from collections.abc import Iterator, Mapping
from itertools import permutations
from statistics import median
from typing import Any

Medians = Mapping[str, Mapping[str, float]]  # comparison -> arm -> median
ARMS_LIMIT = 100  # of one comparison: every pair of them is tried


def medians(samples: Any) -> dict[str, dict[str, float]]:
    """The median of every arm whose samples are plain numbers; curves and the like are left out."""
    found = {
        str(name): {str(arm): median(values) for arm, values in arms.items() if _plain(values)}
        for name, arms in (samples.items() if isinstance(samples, dict) else ())
        if isinstance(arms, dict) and len(arms) <= ARMS_LIMIT
    }
    return {name: arms for name, arms in found.items() if arms}


def origin(metric: Mapping[str, Any], found: Medians) -> str | None:
    """Which two arms' medians give this measure, as their ratio or as the ratio less one; None if none do."""
    for name, arms in found.items():
        for above, below in permutations(arms, 2):
            ratio = _ratio(arms, above, below)
            if math.isclose(metric["value"], ratio, rel_tol=1e-9):
                return f"{above} / {below} of {name}"
            if math.isclose(metric["value"] + 1, ratio, rel_tol=1e-12):
                return f"{above} / {below} - 1 of {name}"
    return None


def faults(metric: Mapping[str, Any], found: Medians) -> Iterator[str]:
    """Medians that stand beside a measure and that no raw samples have; arms it names that do not give it."""
    detail = metric["detail"] if isinstance(metric["detail"], dict) else {}
    said = _said_medians(detail.get("arms"))
    homes = [arms for arms in found.values() if _same(said, arms)]
    if said and not homes:
        yield f"{metric['name']} stands beside medians that the raw samples do not have"
    above, below = str(detail.get("baseline")), str(detail.get("candidate"))
    if homes and above in said and below in said:
        ratio = _ratio(homes[0], above, below)
        if not math.isclose(metric["value"], ratio, rel_tol=1e-9):
            yield f"{metric['name']} is {metric['value']:.6g}, but {above} / {below} is {ratio:.6g}"


def _ratio(arms: Mapping[str, float], above: str, below: str) -> float:
    return arms[above] / arms[below] if arms[below] else math.nan


def _said_medians(arms: Any) -> dict[str, float]:
    figures = arms.items() if isinstance(arms, dict) else ()
    return {arm: each["median_ms"] for arm, each in figures if isinstance(each, dict) and "median_ms" in each}


def _same(said: Mapping[str, Any], arms: Mapping[str, float]) -> bool:
    return all(
        arm in arms and isinstance(value, int | float) and math.isclose(value, arms[arm], rel_tol=1e-9)
        for arm, value in said.items()
    )


def _plain(values: Any) -> bool:
    return (
        isinstance(values, list)
        and bool(values)
        and all(type(value) in (int, float) and abs(value) < 1e300 for value in values)
    )
