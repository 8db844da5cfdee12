"""Charts: drawn without scripts or styles, in colours that follow the page, with their data beneath."""

import csv
import io
import re
import xml.etree.ElementTree as ET
from urllib.parse import unquote

import pytest

from explorer import charts

pytestmark = pytest.mark.django_db  # drawn charts are kept in the cache, which is the database

SERIES = {
    "name": "time",
    "title": "Time & <space>",
    "x": {"name": "Length", "unit": "tokens", "log": True},
    "y": {"name": "Time", "unit": "ms", "log": True},
    "lines": [
        {
            "label": "plain",
            "x": [128, 256, 512],
            "y": [1.0, 2.1, 4.2],
            "low": [0.9, 2.0, 4.1],
            "high": [1.1, 2.2, 4.3],
        },
        {"label": "quick", "x": [128, 256], "y": [0.5, 0.9]},
    ],
}


def test_a_series_becomes_a_figure_with_its_numbers():
    html = str(charts.draw_series(SERIES))
    cells = re.findall(
        r'<th scope="row">(\w+)</th><td class="num">([\d.]+)</td><td class="num">([\d.]+)</td>', html
    )
    assert cells == [
        ("plain", "128", "1"),
        ("plain", "256", "2.1"),
        ("plain", "512", "4.2"),
        ("quick", "128", "0.5"),
        ("quick", "256", "0.9"),
    ]
    assert "<figcaption>Time &amp; &lt;space&gt;</figcaption>" in html
    href = re.search(r'href="data:text/csv;charset=utf-8,([^"]*)" download="time-space.csv"', html)[1]
    rows = list(csv.reader(io.StringIO(unquote(href))))
    assert rows[0] == ["line", "Length (tokens)", "Time (ms)", "low", "high"]
    assert rows[1:3] == [["plain", "128", "1.0", "0.9", "1.1"], ["plain", "256", "2.1", "2.0", "2.2"]]
    assert len(rows) == 6


def test_the_drawing_is_one_labelled_image_without_style_or_script():
    svg = re.search(r"<svg.*</svg>", str(charts.draw_series(SERIES)), re.DOTALL)[0]
    root = ET.fromstring(svg)
    assert (root.get("role"), root.get("aria-label")) == ("img", "Time & <space>")
    attributes = {name for element in root.iter() for name in element.attrib}
    assert {name for name in attributes if name == "style" or name.startswith("on")} == set()
    colours = {element.get(paint) for element in root.iter() for paint in ("fill", "stroke")} - {None}
    assert {colour for colour in colours if colour.startswith("#")} == set()
    assert {"var(--line-1)", "var(--line-2)", "var(--ink)", "var(--muted)"} <= colours


def test_the_same_data_is_drawn_once(monkeypatch):
    first = charts.draw_series(SERIES)
    monkeypatch.setattr(charts.vl_convert, "vegalite_to_svg", None)  # drawing again would now fail
    assert charts.draw_series(SERIES) == first


def test_a_trace_is_drawn_only_where_something_was_recorded():
    trace = [{"t": n, "gpu": 0, "power_w": 100.0 + n, "memory_mb": None} for n in range(3)]
    assert "Power" in charts.draw_trace(trace, "power_w")
    assert charts.draw_trace(trace, "memory_mb") is None
    assert charts.draw_trace([], "power_w") is None


def test_a_trend_goes_run_by_run_beside_the_claim_and_its_names_are_in_the_table_and_the_csv():
    points = [("2.13.0", "2026-01-02", 1, 3.0, 2.9, 3.1), ("", "2026-02-03", 7, 2.76, 2.7, 2.8)]
    html = str(charts.draw_trend("Speed-up, H-1", "Speed-up (x)", points, 5.71))
    cells = re.findall(
        r'<th scope="row">(\w+)</th><td class="num">([^<]+)</td><td class="num">([\d.]+)</td>', html
    )
    first, second = "2.13.0 · 2026-01-02 · run 1", "torch unknown · 2026-02-03 · run 7"
    assert cells == [
        ("measured", first, "3"),
        ("claimed", first, "5.71"),
        ("measured", second, "2.76"),
        ("claimed", second, "5.71"),
    ]
    href = re.search(r'href="data:text/csv;charset=utf-8,([^"]*)"', html)[1]
    rows = list(csv.reader(io.StringIO(unquote(href))))
    assert rows[:2] == [
        ["line", "torch · date · run", "Speed-up (x)", "low", "high"],
        ["measured", first, "3.0", "2.9", "3.1"],
    ]
    svg = ET.fromstring(re.search(r"<svg.*</svg>", html, re.DOTALL)[0])
    words = ["".join(element.itertext()) for element in svg.iter("{http://www.w3.org/2000/svg}text")]
    places = [word for word in words if "run " in word]
    assert [place.endswith(name) for place, name in zip(places, ("run 1", "run 7"), strict=True)] == [
        True,
        True,
    ]


def test_a_trend_without_a_claim_is_one_line():
    points = [("2.13.0", "2026-01-02", run, 3.0, 2.9, 3.1) for run in (1, 2)]
    assert "claimed" not in charts.draw_trend("Speed-up", "Speed-up (x)", points, None)


def test_limits_and_claims_are_no_measured_lines():
    labels = ("plain", "roofline limit, batch 8", "claimed by the paper, MQA")
    rows = [{"line": label, "x": x, "y": x, "low": x, "high": x} for label in labels for x in (1, 2)]
    drawn = charts.declare("Batch", "Speed-up", rows, {"x": {"log": True}, "y": {}})
    assert f'"{charts.LINES[1]}"' not in str(drawn).replace("'", '"')
    assert charts.INK in str(drawn) and charts.MUTED in str(drawn)
