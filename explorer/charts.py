"""Charts, declared with Altair and drawn on the server: an SVG that needs no JavaScript, its data beneath.

Vega paints in stand-in colours, which become CSS variables, so that a drawn chart follows light and dark.
"""

import csv
import hashlib
import io
import json
import re
from urllib.parse import quote

import altair as alt
import vl_convert
from django.core.cache import cache
from django.template.loader import render_to_string
from django.utils.safestring import mark_safe

from explorer.templatetags.figures import plain

VERSION = 5  # raise it when the same data is to be drawn differently
MONTH_S = 30 * 24 * 3600
WIDTH, HEIGHT, MOST_POINTS = 460, 250, 80
INK, MUTED, RULE = "#010101", "#020202", "#030303"
LINES = [f"#0000f{number}" for number in range(1, 7)]
VARIABLES = {INK: "var(--ink)", MUTED: "var(--muted)", RULE: "var(--line)"} | {
    colour: f"var(--line-{number})" for number, colour in enumerate(LINES, 1)
}
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
    """One series of a bundle as a figure: chart, table of its data, CSV."""
    rows = [
        {"line": line["label"], "x": x, "y": y, "low": low, "high": high}
        for line in series["lines"]
        for x, y, low, high in zip(
            line["x"], line["y"], line.get("low") or line["y"], line.get("high") or line["y"], strict=True
        )
    ]
    return figure(series["title"], axis_title(series["x"]), axis_title(series["y"]), rows, series)


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
    context = {
        "title": title,
        "svg": mark_safe(drawn(title, x_title, y_title, rows, axes)),
        "x_title": x_title,
        "y_title": y_title,
        "rows": [{**row, "x": number_or_word(row["x"]), "y": plain(row["y"])} for row in rows],
        "csv": quote(as_csv(x_title, y_title, rows)),
    }
    return mark_safe(render_to_string("_chart.html", context))


def number_or_word(x):
    return x if isinstance(x, str) else plain(x)


def axis_title(axis):
    return f"{axis['name']} ({axis['unit']})" if axis.get("unit") else axis["name"]


def declare(x_title, y_title, rows, axes):
    """The Vega-Lite of lines with their intervals. Lines differ by dash and shape as well as by colour."""
    labels = list(dict.fromkeys(row["line"] for row in rows))
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
    around = chart.mark_rule(strokeWidth=3, opacity=0.45) if apart else chart.mark_errorband(opacity=0.18)
    layers = [
        around.encode(y=alt.Y("low:Q", title=y_title, scale=y_scale), y2="high:Q"),
        line.mark_line(strokeWidth=2).encode(
            strokeDash=alt.StrokeDash("line:N", scale=alt.Scale(domain=labels), legend=None)
        ),
    ]
    if len(rows) <= MOST_POINTS:
        layers.append(
            line.mark_point(size=34, filled=True, opacity=1).encode(
                shape=alt.Shape("line:N", scale=alt.Scale(domain=labels), **named)
            )
        )
    return alt.layer(*layers).properties(width=WIDTH, height=HEIGHT).configure(**LOOK).to_dict()


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


def legend(labels):
    """As many columns as the longest label leaves room for."""
    longest = max(map(len, labels))
    columns = 3 if longest <= 18 else 2 if longest <= 30 else 1
    return alt.Legend(orient="top", title=None, columns=columns, labelLimit=WIDTH, symbolOpacity=1)


LOOK = {
    "background": "transparent",
    "view": {"stroke": None},
    "axis": {
        "labelColor": MUTED,
        "titleColor": INK,
        "gridColor": RULE,
        "domainColor": MUTED,
        "tickColor": MUTED,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": 500,
        "titlePadding": 8,
    },
    "legend": {"labelColor": INK, "labelFontSize": 12, "symbolStrokeWidth": 0, "symbolSize": 60},
}


def drawn(title, *data):
    """The SVG of this data, drawn once and kept by its content."""
    content = json.dumps([VERSION, title, data], sort_keys=True)
    key = f"chart:{hashlib.sha256(content.encode()).hexdigest()}"
    if (svg := cache.get(key)) is None:
        svg = tidy(vl_convert.vegalite_to_svg(declare(*data)), title)
        cache.set(key, svg, MONTH_S)
    return svg


def tidy(svg, title):
    """Our colours for the stand-ins, one label for the whole, no style attribute: our CSP is strict."""
    for colour, variable in VARIABLES.items():
        svg = svg.replace(f'"{colour}"', f'"{variable}"')
    svg = re.sub(r' (style|role|aria-[a-z]+|font-family)="[^"]*"', "", svg)
    label = title.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)


def as_csv(x_title, y_title, rows):
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["line", x_title, y_title, "low", "high"])
    writer.writerows([row["line"], row["x"], row["y"], row["low"], row["high"]] for row in rows)
    return out.getvalue()
