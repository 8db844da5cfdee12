"""How sure a number is: bootstrap intervals of medians, ratios and slopes, from raw samples."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000
CONFIDENCE = 0.95
SEED = 20220527  # resampling is repeatable, so the same samples give the same interval


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval; `low <= value <= high` always holds."""

    value: float
    low: float
    high: float
    n: int

    @property
    def half_width(self) -> float:
        """Half the interval, relative to the value; infinite at zero."""
        return (self.high - self.low) / 2 / abs(self.value) if self.value else float("inf")


def median_of(samples: Sequence[float]) -> Interval:
    """The median of the samples and its percentile-bootstrap interval."""
    values = np.asarray(samples, dtype=float)
    return _interval(float(np.median(values)), np.median(values[_draws(len(values))], axis=1), len(values))


def mean_of(samples: Sequence[float]) -> Interval:
    """The mean and its percentile-bootstrap interval; for few seeds."""
    values = np.asarray(samples, dtype=float)
    return _interval(float(values.mean()), values[_draws(len(values))].mean(axis=1), len(values))


def ratio_of_medians(above: Sequence[float], below: Sequence[float]) -> Interval:
    """median(above) / median(below); sample i of both belongs to the same block, and blocks are resampled.

    Raises ValueError if the two are not of equal length.
    """
    top, bottom = np.asarray(above, dtype=float), np.asarray(below, dtype=float)
    if len(top) != len(bottom):
        raise ValueError("Paired samples must be equally many.")
    draws = _draws(len(top))
    ratios = np.median(top[draws], axis=1) / np.median(bottom[draws], axis=1)
    return _interval(float(np.median(top) / np.median(bottom)), ratios, len(top))


def slope(x: Sequence[float], y: Sequence[float]) -> Interval:
    """Ordinary least squares in log-log over the upper half of x: the exponent b of y ~ x**b.

    The interval is that of the fit (two standard errors); with two points it has no width.
    Raises ValueError for fewer than two points.
    """
    half = max(2, (len(x) + 1) // 2)
    if len(x) < 2:
        raise ValueError("A slope needs two points.")
    across, up = np.log(np.asarray(x[-half:], dtype=float)), np.log(np.asarray(y[-half:], dtype=float))
    centred = across - across.mean()
    value = float(centred @ up / (centred @ centred))
    rest = up - up.mean() - value * centred
    error = float(np.sqrt(rest @ rest / (half - 2) / (centred @ centred))) if half > 2 else 0.0
    return Interval(value, value - 2 * error, value + 2 * error, half)


def olympic_mean(samples: Sequence[float]) -> float:
    """The mean without the first and the last sample, as MLPerf drops extremes; of all if under three."""
    kept = samples[1:-1] if len(samples) > 2 else samples
    return float(np.mean(kept))


def quantiles(samples: Sequence[float], at: Sequence[float]) -> list[float]:
    """The quantiles of the samples, linearly interpolated."""
    return np.quantile(np.asarray(samples, dtype=float), at).tolist()


def _draws(n: int) -> np.ndarray:
    return np.random.default_rng(SEED).integers(0, n, size=(RESAMPLES, n))


def _interval(value: float, resampled: np.ndarray, n: int) -> Interval:
    low, high = np.quantile(resampled, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(value, min(value, float(low)), max(value, float(high)), n)
