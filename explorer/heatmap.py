"""The map on the front page: how many papers each axis has in each year, each cell a filter."""

from collections import Counter
from dataclasses import dataclass

from django.db.models import Count

from papers.models import AXES, Paper

COLUMNS, SHADES = 9, 7


@dataclass(frozen=True)
class Cell:
    count: int
    shade: int
    years: str
    query: str


@dataclass(frozen=True)
class Line:
    axis: str
    name: str
    cells: list[Cell]
    total: int


def heat_map():
    """(column titles, lines). The first column gathers all years before the others."""
    counts = Counter()
    for axis, year, papers in (
        Paper.objects.filter(techniques__isnull=False)
        .order_by()
        .values_list("techniques__axis", "year")
        .annotate(Count("pk", distinct=True))
    ):
        counts[axis, year] = papers
    last = max((year for _, year in counts), default=None)
    if last is None:
        return [], []
    spans = [(1900, last - COLUMNS), *((year, year) for year in range(last - COLUMNS + 1, last + 1))]
    return [title(span) for span in spans], lines(counts, spans)


def lines(counts, spans):
    sums = {
        (axis, span): sum(counts[axis, year] for year in range(span[0], span[1] + 1))
        for axis in AXES
        for span in spans
    }
    most = max(sums.values())
    return [
        Line(axis, name, [cell(axis, span, sums[axis, span], most) for span in spans], total(counts, axis))
        for axis, name in AXES.items()
    ]


def cell(axis, span, count, most):
    # A root: papers multiply year by year, and early years would all look empty.
    shade = round(SHADES * (count / most) ** 0.4) if count else 0
    first, last = span
    year = str(last) if first == last else f"..{last}"
    return Cell(count, max(shade, 1) if count else 0, title(span), f"axis={axis}&year={year}")


def title(span):
    return str(span[1]) if span[0] == span[1] else f"to {span[1]}"


def total(counts, axis):
    return sum(count for (name, _), count in counts.items() if name == axis)
