"""The raw samples of a bundle: checked before a stranger's are kept, and as rows for a download."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

MOST_COMPARISONS, MOST_ARMS = 1000, 200
LONGEST_NAME = 120


class Row(NamedTuple):
    """One sample. `step` counts within a round that has several numbers, as the losses of one training."""

    comparison: str
    arm: str
    round: int
    step: int | None
    value: float
    unit: str


def rows(report: Mapping[str, Any], samples: Mapping[str, Any]) -> Iterator[Row]:
    """Every sample in the bundle's order. Comparisons that were timed are in milliseconds a call.

    Of others a bundle tells no unit.
    """
    timed = _timed(report["environment"])
    for comparison, arms in samples.items():
        unit = "ms" if comparison in timed else ""
        for arm, rounds in arms.items():
            for number, given in enumerate(rounds, 1):
                if isinstance(given, list):
                    yield from (
                        Row(comparison, arm, number, at, value, unit) for at, value in enumerate(given, 1)
                    )
                else:
                    yield Row(comparison, arm, number, None, given, unit)


def fault(samples: Any) -> str:
    """Why these are not {comparison: {arm: [number or [number]]}} of bounded size; empty if they are."""
    if not _is_table(samples, MOST_COMPARISONS):
        return f"must hold at most {MOST_COMPARISONS} comparisons by name"
    for comparison, arms in samples.items():
        if not _is_table(arms, MOST_ARMS):
            return f"of {comparison} must hold at most {MOST_ARMS} arms by name"
        for arm, rounds in arms.items():
            if not isinstance(rounds, list) or not all(map(_is_finite, _flat(rounds))):
                return f"of {comparison}, {arm} must be a list of finite numbers, or of lists of them"
    return ""


def _timed(environment: Mapping[str, Any]) -> frozenset[str]:
    """The comparisons of whose timing the environment tells: toolbox.py times in milliseconds a call."""
    measurement = environment.get("measurement")
    told = measurement.get("comparisons") if isinstance(measurement, dict) else None
    return frozenset(told) if isinstance(told, dict) else frozenset()


def _is_table(value: Any, most: int) -> bool:
    if not isinstance(value, dict) or len(value) > most:
        return False
    return all(0 < len(name) <= LONGEST_NAME and name.isprintable() for name in value)


def _flat(rounds: list[Any]) -> Iterator[Any]:
    return (value for each in rounds for value in (each if isinstance(each, list) else [each]))


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300
