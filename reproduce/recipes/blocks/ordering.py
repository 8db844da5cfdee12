"""Whether a stated ordering holds: paired over seeds, one-sided t-test, p < 0.05 (RECIPES, part A.2)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

VERSION = 1
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Pair:
    """A stated ordering: `better` should lie below `worse` (losses, errors), sample i of both from seed i."""

    name: str
    better: Sequence[float]
    worse: Sequence[float]

    @property
    def p(self) -> float:
        """The chance of differences this large if there were none."""
        return paired_p(np.asarray(self.worse, dtype=float) - np.asarray(self.better, dtype=float))

    def record(self) -> dict[str, Any]:
        """For the detail of a measure."""
        gaps = np.asarray(self.worse, dtype=float) - np.asarray(self.better, dtype=float)
        return {"mean_difference": float(gaps.mean()), "p": self.p, "holds": self.p < SIGNIFICANT}


def order_holds(main: Pair, *others: Pair) -> tuple[float, dict[str, Any]]:
    """1 if all orderings hold, 0.5 if the main one does but not all others, else 0; with the detail."""
    found = {pair.name: pair.record() for pair in (main, *others)}
    if not found[main.name]["holds"]:
        return 0.0, found
    return (1.0 if all(pair["holds"] for pair in found.values()) else 0.5), found


def paired_p(differences: Sequence[float]) -> float:
    """One-sided p of Student's paired test that the mean difference is above zero.

    Raises ValueError for fewer than three pairs.
    """
    values = np.asarray(differences, dtype=float)
    if len(values) < 3:
        raise ValueError("An ordering needs three pairs at least.")
    spread = values.std(ddof=1) / np.sqrt(len(values))
    if spread == 0:
        return 0.0 if values.mean() > 0 else 1.0
    return _beyond(float(values.mean() / spread), len(values) - 1)


def _beyond(t: float, freedom: int) -> float:
    """Student's upper tail beyond t, by the substitution x = tan(u) that makes the range finite."""
    angles = np.linspace(np.arctan(t), np.pi / 2, 20_001)[:-1]
    x = np.tan(angles)
    heights = (1 + x**2 / freedom) ** (-(freedom + 1) / 2) * (1 + x**2)
    at_zero = np.linspace(0, np.pi / 2, 20_001)[:-1]
    zero = np.tan(at_zero)
    half = np.trapezoid((1 + zero**2 / freedom) ** (-(freedom + 1) / 2) * (1 + zero**2), at_zero)
    return float(np.trapezoid(heights, angles) / (2 * half))
