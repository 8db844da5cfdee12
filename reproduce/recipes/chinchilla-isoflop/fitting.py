"""From losses to exponents: a parabola for each budget, the envelope of all curves, a line through each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from reproduce.recipes.intervals import Interval

SUBSETS, KEPT = 200, 0.8  # the paper refits to 80 % of its runs
ENVELOPE = 200  # FLOP counts at which the best of all curves is looked up
SEED = 2203


@dataclass(frozen=True)
class Point:
    """A finished run: what it spent in FLOP, its size with and without embeddings, its loss on the way.

    `spent` and `smooth` are FLOP and smoothed training losses; `loss` is the final one, on held-out text.
    """

    budget: int
    flop: float
    size: float
    inner_size: float
    bytes: float
    loss: float
    spent: np.ndarray
    smooth: np.ndarray


@dataclass(frozen=True)
class Optimum:
    """The least loss of one budget: where along x (in logarithms), how low, whether inside what was tried."""

    budget: int
    flop: float
    x: float
    loss: float
    inside: bool
    residual: float  # of the parabola, root of the mean square, relative to the loss
    curvature: float

    def excess(self, x: float) -> float:
        """By which share the parabola lies higher at x."""
        return self.curvature * (x - self.x) ** 2 / self.loss


def optimum(points: Sequence[Point], x: Callable[[Point], float]) -> Optimum:
    """The vertex of a parabola through losses over log x; the best run tried if there is none inside."""
    number, across = points[0].budget, np.log([x(point) for point in points])
    losses = np.array([point.loss for point in points])
    flop = float(np.exp(np.mean(np.log([point.flop for point in points]))))
    best = int(losses.argmin())
    bend, slope, _ = fitted = np.polyfit(across - across.mean(), losses, 2)
    off = float(np.sqrt(np.mean((np.polyval(fitted, across - across.mean()) - losses) ** 2)) / losses.min())
    vertex = across.mean() - slope / 2 / bend if bend > 0 else np.nan
    if not across.min() < vertex < across.max():
        return Optimum(
            number, flop, float(across[best]), float(losses[best]), False, off, max(0.0, float(bend))
        )
    lowest = float(np.polyval(fitted, vertex - across.mean()))
    return Optimum(number, flop, float(vertex), lowest, True, off, float(bend))


def optima(points: Sequence[Point], x: Callable[[Point], float]) -> list[Optimum]:
    """One for each budget that runs at three places at least are left of."""
    groups = [[p for p in points if p.budget == number] for number in sorted({p.budget for p in points})]
    return [optimum(group, x) for group in groups if len({x(p) for p in group}) >= 3]


def isoflop(points: Sequence[Point], x: Callable[[Point], float]) -> float:
    """Exponent of x at the optimum in FLOP, over budgets whose optimum lies inside (all, if under two)."""
    found = _inside(optima(points, x))
    return _slope([np.log(each.flop) for each in found], [each.x for each in found])


def isoflop_without_embeddings(points: Sequence[Point]) -> float:
    """As `isoflop`, with sizes and FLOP (six for each parameter and byte) that leave out embeddings."""
    found, spent = _inside(optima(points, lambda point: point.inner_size)), []
    for each in found:
        group = [point for point in points if point.budget == each.budget]
        across = np.log([p.inner_size for p in group])
        inner = np.log([6 * p.inner_size * p.bytes for p in group])
        order = across.argsort()
        spent.append(float(np.interp(each.x, across[order], inner[order])))
    return _slope(spent, [each.x for each in found])


def envelope(points: Sequence[Point]) -> tuple[np.ndarray, np.ndarray]:
    """FLOP counts, and the size of the run whose loss is the least there. Source: the paper's approach 1."""
    ends = [point.flop for point in points]
    at = np.geomspace(min(ends), max(ends), ENVELOPE)
    curves = [np.interp(at, p.spent, p.smooth, left=np.inf, right=np.inf) for p in points]
    best = np.argmin(curves, axis=0)
    known = np.isfinite(np.min(curves, axis=0))
    return at[known], np.array([points[index].size for index in best])[known]


def from_envelope(points: Sequence[Point]) -> float:
    """Exponent of the best size in FLOP along the envelope."""
    at, sizes = envelope(points)
    return _slope(np.log(at), np.log(sizes))


def interval(points: Sequence[Point], estimate: Callable[[Sequence[Point]], float]) -> Interval:
    """An estimate from all runs, and the middle 95 % of those from random subsets of 80 % of them."""
    random, count = np.random.default_rng(SEED), round(KEPT * len(points))
    subsets = [np.sort(random.choice(len(points), count, replace=False)) for _ in range(SUBSETS)]
    drawn = [estimate([points[index] for index in subset]) for subset in subsets]
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    value = estimate(points)
    return Interval(value, min(value, float(low)), max(value, float(high)), len(points))


def _inside(found: Sequence[Optimum]) -> list[Optimum]:
    inside = [each for each in found if each.inside]
    return inside if len(inside) >= 2 else list(found)


def _slope(across: Sequence[float] | np.ndarray, up: Sequence[float] | np.ndarray) -> float:
    return float(np.polyfit(across, up, 1)[0]) if len(across) > 1 else np.nan
