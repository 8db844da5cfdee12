"""Charts of lines, declared with Altair: the series of a bundle, the trace of a GPU, a number run by run."""

import altair as alt

from explorer import drawing
from explorer.csv_text import as_csv
from explorer.drawing import INK, LINES, LOOK, MUTED, NUMBER
from explorer.templatetags.figures import plain

WIDTH, HEIGHT, MOST_POINTS = 530, 300, 80
LEGEND_LINE = 18
# Lines that the measured ones are held against, by how their labels begin: in the colours of text.
LEVELS = {"claimed": INK, "roofline limit": MUTED}
TRACES = {
    "memory_mb": ("GPU memory", "MB"),
    "utilisation": ("GPU utilisation", "%"),
    "power_w": ("Power", "W"),
    "temperature_c": ("Temperature", "°C"),
    "sm_clock_mhz": ("SM clock", "MHz"),
}


def draw_series(series):
    """One series of a bundle as a figure."""
    rows = [
        {"line": line["label"], "x": x, "y": y, "low": low, "high": high}
        for line in series["lines"]
        for x, y, low, high in zip(
            line["x"], line["y"], line.get("low") or line["y"], line.get("high") or line["y"], strict=True
        )
    ]
    axes = {"x": series["x"], "y": series["y"]}
    return figure(series["title"], axis_title(series["x"]), axis_title(series["y"]), rows, axes)


def draw_trace(trace, name):
    """One quantity of a run's GPU trace over its seconds; None where nothing was recorded."""
    title, unit = TRACES[name]
    rows = [
        {
            "line": f"GPU {point['gpu']}",
            "x": point["t"],
            "y": point[name],
            "low": point[name],
            "high": point[name],
        }
        for point in trace
        if point.get(name) is not None
    ]
    axes = {"x": {"log": False}, "y": {"log": False}}
    return figure(title, "time (s)", unit, rows, axes) if rows else None


def draw_traces(trace):
    """Every quantity that was recorded."""
    return [figure for name in TRACES if (figure := draw_trace(trace, name))]


def draw_trend(title, y_title, points, claimed):
    """A number run by run in the order of torch: `points` are (torch, date, run, value, low, high)."""
    rows = []
    for torch, date, run, value, low, high in points:
        x = f"{torch or 'torch unknown'} · {date} · run {run}"
        rows.append({"line": "measured", "x": x, "y": value, "low": low, "high": high})
        if claimed is not None:
            rows.append({"line": "claimed", "x": x, "y": claimed, "low": claimed, "high": claimed})
    axes = {"x": {"ordinal": True}, "y": {"zero": False}}  # a small step must show beside a distant claim
    return figure(title, "torch · date · run", y_title, rows, axes)


def figure(title, x_title, y_title, rows, axes):
    return drawing.Figure(
        title=title,
        kind="lines",
        data=(x_title, y_title, rows, axes),
        size=(WIDTH, height(labels_of(rows))),
        head=[("Line", not NUMBER), (x_title, NUMBER), (y_title, NUMBER)],
        rows=[(row["line"], number_or_word(row["x"]), plain(row["y"])) for row in rows],
        csv=as_csv(
            ["line", x_title, y_title, "low", "high"],
            ([row["line"], row["x"], row["y"], row["low"], row["high"]] for row in rows),
        ),
    )


def number_or_word(x):
    return x if isinstance(x, str) else plain(x)


def axis_title(axis):
    return f"{axis['name']} ({axis['unit']})" if axis.get("unit") else axis["name"]


def declare(x_title, y_title, rows, axes):
    """The chart of lines with their intervals. Lines differ by dash and shape as well as by colour."""
    rows = [{**row, "told": told(row)} for row in rows]
    labels = labels_of(rows)
    free = iter(LINES * (1 + len(labels) // len(LINES)))
    colours = [level_colour(label) or next(free) for label in labels]
    named = {"legend": legend(labels) if len(labels) > 1 else None}
    y_scale = scale(axes["y"], [row["y"] for row in rows])
    chart = alt.Chart(alt.Data(values=rows)).encode(
        x=ordinal(x_title) if axes["x"].get("ordinal") else quantity(x_title, axes["x"], rows),
        color=alt.Color("line:N", scale=alt.Scale(domain=labels, range=colours), **named),
    )
    line = chart.encode(y=alt.Y("y:Q", title=y_title, scale=y_scale))
    apart = axes["x"].get("ordinal")  # between two runs there is nothing that a band could cover
    around = chart.mark_area(opacity=0.18, aria=False)
    if apart:
        around = chart.mark_rule(strokeWidth=3, opacity=0.45, aria=False)
    layers = [
        around.encode(y=alt.Y("low:Q", title=y_title, scale=y_scale), y2="high:Q"),
        line.mark_line(strokeWidth=2, aria=False).encode(
            strokeDash=alt.StrokeDash("line:N", scale=alt.Scale(domain=labels), legend=None)
        ),
    ]
    if len(rows) <= MOST_POINTS:
        layers.append(
            line.mark_point(size=34, filled=True, opacity=1).encode(
                shape=alt.Shape("line:N", scale=alt.Scale(domain=labels), **named), description="told:N"
            )
        )
    look = LOOK | {"autosize": {"type": "fit", "contains": "padding"}}
    return alt.layer(*layers).properties(width=WIDTH, height=height(labels)).configure(**look)


def told(row):
    """What one reads at a point."""
    span = f" ({plain(row['low'])} – {plain(row['high'])})" if row["low"] != row["high"] else ""
    return f"{row['line']}, {number_or_word(row['x'])}: {plain(row['y'])}{span}"


def quantity(title, axis, rows):
    values = sorted({row["x"] for row in rows})
    ticks = values if axis.get("log") and len(values) <= 8 else alt.Undefined
    look = alt.Axis(values=ticks, format=".3~s" if values[-1] >= 1e5 else ",~f", labelOverlap=True)
    return alt.X("x:Q", title=title, scale=scale(axis, values), axis=look)


def ordinal(title):
    """Names in the order of the rows; what " · " joins stands on lines of its own."""
    look = alt.Axis(labelExpr="split(datum.label, ' · ')", labelAngle=0, labelOverlap=True, grid=False)
    return alt.X("x:O", title=title, sort=None, axis=look)


def scale(axis, values):
    """Doublings where the bundle asks for them; from zero unless that would flatten the lines."""
    if axis.get("log"):
        return alt.Scale(type="log", base=2, nice=False)
    return alt.Scale(zero=axis.get("zero", min(values) < 0.5 * max(values)))


def level_colour(label):
    return next((colour for begin, colour in LEVELS.items() if label.startswith(begin)), None)


def labels_of(rows):
    return list(dict.fromkeys(row["line"] for row in rows))


def height(labels):
    return HEIGHT + LEGEND_LINE * legend_lines(labels)


def legend_columns(labels):
    """As many columns as the longest label leaves room for."""
    longest = max(map(len, labels))
    return 3 if longest <= 18 else 2 if longest <= 30 else 1


def legend_lines(labels):
    return -(-len(labels) // legend_columns(labels)) if len(labels) > 1 else 0


def legend(labels):
    columns = legend_columns(labels)
    return alt.Legend(orient="top", title=None, columns=columns, labelLimit=WIDTH, symbolOpacity=1)
