"""Where a candidate overtakes its baseline: the length at which a gain crosses one, interpolated."""

import math
from collections.abc import Sequence

from reproduce.recipes.intervals import Interval

VERSION = 1


def crossover(lengths: Sequence[int], gains: Sequence[Interval]) -> Interval:
    """The length beyond which the gain stays above one, lengths rising; its interval from those of the gains.

    The last length if the gain never stays above one, the first if it always is.
    """
    middle, late, early = (
        crossing(lengths, [getattr(gain, bound) for gain in gains]) for bound in ("value", "low", "high")
    )
    return Interval(middle, min(early, middle), max(late, middle), len(gains))


def crossing(lengths: Sequence[int], gains: Sequence[float]) -> float:
    """The same for plain numbers."""
    if gains[-1] <= 1:
        return float(lengths[-1])
    last = max((place for place, gain in enumerate(gains) if gain <= 1), default=-1)
    if last < 0:
        return float(lengths[0])
    below, above = math.log(gains[last]), math.log(gains[last + 1])
    return lengths[last] * (lengths[last + 1] / lengths[last]) ** (below / (below - above))
