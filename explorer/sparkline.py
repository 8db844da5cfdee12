"""Small pictures of a running run's GPUs: SVG lines drawn in Python, for Vega is too slow for each second.

Colours are CSS classes, so that a line follows light and dark; what it shows is told in words as well.
"""

from operator import itemgetter

from explorer.charts import TRACES
from explorer.templatetags.figures import plain, span

WIDTH, HEIGHT, EDGE = 240, 48, 3
MOST_POINTS = 120
COLOURS = 6


def sparklines(trace):
    """A picture for each quantity that was recorded: see runs/_traces.html."""
    return [drawn for name in TRACES if (drawn := sparkline(trace, name))]


def sparkline(trace, name):
    """One quantity over time, a line for each GPU; None where nothing was recorded."""
    lines = {}
    for point in trace:
        if point.get(name) is not None:
            lines.setdefault(point["gpu"], []).append((point["t"], point[name]))
    if not lines:
        return None
    times, values = zip(*(point for line in lines.values() for point in line), strict=True)
    title, unit = TRACES[name]
    latest = {gpu: line[-1][1] for gpu, line in sorted(lines.items())}
    low, high = min(values), max(values)
    place = scale(min(times), max(times), 0 if low < 0.5 * high else low, high)
    return {
        "title": title,
        "unit": unit,
        "said": said(title, unit, latest, low, high, max(times) - min(times)),
        "low": plain(low),
        "high": plain(high),
        "lines": [
            {
                "gpu": gpu,
                "colour": number % COLOURS + 1,
                "latest": plain(value),
                "points": " ".join(place(*point) for point in thinned(lines[gpu])),
            }
            for number, (gpu, value) in enumerate(latest.items())
        ],
        "size": (WIDTH, HEIGHT),
    }


def said(title, unit, latest, low, high, seconds):
    """The picture in words."""
    each = {gpu: f"{plain(value)} {unit}" for gpu, value in latest.items()}
    now = ", ".join(f"{figure} on GPU {gpu}" for gpu, figure in each.items())
    return f"{title}: {now}; from {plain(low)} to {plain(high)} {unit} within {span(seconds)}"


def scale(first, last, low, high):
    """Where a point lies in the picture."""

    def place(t, value):
        x = EDGE + (WIDTH - 2 * EDGE) * (t - first) / (last - first or 1)
        y = HEIGHT - EDGE - (HEIGHT - 2 * EDGE) * (value - low) / (high - low or 1)
        return f"{x:.0f},{y:.1f}"

    return place


def thinned(line):
    """A line of at most MOST_POINTS: of neighbours the lowest and the highest, so that no peak is lost."""
    several = 2 * -(-len(line) // MOST_POINTS)
    if several <= 2:
        return line
    groups = (line[start : start + several] for start in range(0, len(line), several))
    extremes = ({min(group, key=itemgetter(1)), max(group, key=itemgetter(1))} for group in groups)
    return [point for pair in extremes for point in sorted(pair)]
