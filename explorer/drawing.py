"""Figures on pages: an SVG that is drawn on the server once and kept by its content; beneath it its data.

A drawing that is not there yet does not hold up its page: a place of its size is kept, and filled from
/charts when it comes into view, or by its button. Vega paints in stand-ins for CSS variables.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from urllib.parse import quote

import vl_convert
from django.core import signing
from django.core.cache import cache
from django.template.loader import render_to_string
from django.utils.safestring import mark_safe

VERSION = 6  # raise it when the same data is to be drawn differently
MONTH_S = 30 * 24 * 3600
INK, MUTED, RULE, STRONG, SURFACE = "#010101", "#020202", "#030303", "#040404", "#050505"
LINES = [f"#0000f{number}" for number in range(1, 7)]
TONES = {"good": "#00f001", "partly": "#00f002", "bad": "#00f003", "neutral": "#00f004"}
VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    RULE: "var(--line)",
    STRONG: "var(--line-strong)",
    SURFACE: "var(--surface)",
}
VARIABLES |= {colour: f"var(--line-{number})" for number, colour in enumerate(LINES, 1)}
VARIABLES |= {colour: f"var(--{name})" for name, colour in TONES.items()}
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
SALT = "chart"
NUMBER = True  # of a column: set to the right


@dataclass(frozen=True)
class Figure:
    """What a figure shows: its kind of chart is declared from `data`, and comes out as large as `size`."""

    kind: str
    title: str
    data: tuple
    size: tuple[int, int]
    head: list  # (name, NUMBER or not) of each column of the table
    rows: list
    csv: str


def on_page(figures):
    """The figures as HTML, after one look into the cache: drawn if they ever were, else to be fetched."""
    keys = [_key(figure.kind, figure.title, figure.data) for figure in figures]
    kept = cache.get_many(keys) if keys else {}
    return [_html(figure, kept.get(key)) for figure, key in zip(figures, keys, strict=True)]


def drawn(promise, declared):
    """The SVG of a promise, by what declares each kind. Raises BadSignature for one that is not ours."""
    kind, title, data = signing.loads(promise, salt=SALT)
    key = _key(kind, title, data)
    if (svg := cache.get(key)) is None:
        vegalite = declared[kind](*data).to_dict(validate=False)  # the tests validate every kind
        svg = tidy(vl_convert.vegalite_to_svg(vegalite), title)
        cache.set(key, svg, MONTH_S)
    return svg


def _key(*content):
    text = json.dumps([VERSION, *content], sort_keys=True)
    return f"chart:{hashlib.sha256(text.encode()).hexdigest()}"


def _html(figure, svg):
    # Signed, so that this site draws nothing but its own; sent along, so that nothing unseen is stored.
    promise = "" if svg else signing.dumps([figure.kind, figure.title, figure.data], salt=SALT, compress=True)
    context = {
        "title": figure.title,
        "svg": mark_safe(svg) if svg else "",
        "promise": promise,
        "size": figure.size,
        "head": figure.head,
        "rows": [
            [(cell, kind) for cell, (_, kind) in zip(row, figure.head, strict=True)] for row in figure.rows
        ],
        "csv": quote(figure.csv),
    }
    return mark_safe(render_to_string("_chart.html", context))


def tidy(svg, title):
    """Our colours for the stand-ins, one label for the whole, no style attribute: our CSP is strict.

    What Vega says of a single mark is shown when one points at it.
    """
    for colour, variable in VARIABLES.items():
        svg = svg.replace(f'"{colour}"', f'"{variable}"')
    svg = re.sub(r'<(path|line|rect) aria-label="([^"]*)"([^>]*)/>', r"<\1\3><title>\2</title></\1>", svg)
    svg = re.sub(r' (style|role|aria-[a-z]+|font-family)="[^"]*"', "", svg)
    label = title.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
