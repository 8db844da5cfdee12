"""Charts: drawn without scripts or styles, in colours that follow the page, with their data beneath."""

import csv
import io
import re
import xml.etree.ElementTree as ET
from html import unescape
from urllib.parse import unquote

import pytest
from django.core import signing

from explorer import charts, drawing
from explorer.views_charts import DECLARED
from tests.pictures import PROMISE, shown, svg_of, table_of

pytestmark = pytest.mark.django_db  # drawn charts are kept in the cache, which is the database

SVG = "{http://www.w3.org/2000/svg}"
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
    html = shown(charts.draw_series(SERIES))
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
    svg = svg_of(shown(charts.draw_series(SERIES)))
    root = ET.fromstring(svg)
    assert (root.get("role"), root.get("aria-label")) == ("img", "Time & <space>")
    attributes = {name for element in root.iter() for name in element.attrib}
    assert {name for name in attributes if name == "style" or name.startswith("on")} == set()
    colours = {element.get(paint) for element in root.iter() for paint in ("fill", "stroke")} - {None}
    assert {colour for colour in colours if colour.startswith("#")} == set()
    assert {"var(--line-1)", "var(--line-2)", "var(--ink)", "var(--muted)"} <= colours


def test_what_is_not_drawn_keeps_its_place_and_its_numbers_and_is_drawn_once(monkeypatch, client):
    figure = charts.draw_series(SERIES)
    [html] = drawing.on_page([figure])
    assert "<svg role" not in html and table_of(html)[0] == ["plain", "128", "1"]
    width, height = re.search(r'<svg viewBox="0 0 (\d+) (\d+)" aria-hidden', html).groups()
    promise = {"promise": unescape(PROMISE.search(html)[1])}
    page = client.post("/charts", promise)  # by the button, without scripts
    assert svg_of(page.content.decode()) and "<html" in page.content.decode()
    monkeypatch.setattr(drawing.vl_convert, "vegalite_to_svg", None)  # drawing again would now fail
    svg = client.post("/charts", promise, headers={"HX-Request": "true"}).content.decode()
    assert svg.startswith("<svg") and f'width="{width}" height="{height}"' in svg
    [html] = drawing.on_page([figure])
    assert svg in html and "promise" not in html


def test_every_chart_is_valid_vega_lite_of_the_size_it_promises():
    ordinal = charts.draw_trend("A", "B", [("2.13", "2026-01-02", run, 1.0, 0.9, 1.1) for run in (1, 2)], 2.0)
    long_names = {
        **SERIES,
        "lines": [{**SERIES["lines"][0], "label": f"a long name {n}" * 3} for n in range(4)],
    }
    for figure in (charts.draw_series(SERIES), charts.draw_series(long_names), ordinal):
        DECLARED[figure.kind](*figure.data).to_dict(validate=True)
        assert 'width="{}" height="{}"'.format(*figure.size) in svg_of(shown(figure))


@pytest.mark.parametrize(
    "promise",
    ["", "x", "a:b:c", "\x00", signing.dumps(["lines", "T", []], salt="other")],
    ids=["none", "word", "parts", "nul", "signed for another"],  # the same in each of the test processes
)
def test_only_what_the_site_has_promised_is_drawn(client, promise):
    assert client.post("/charts", {"promise": promise}).status_code == 400
    assert client.get("/charts").status_code == 405


def test_pointing_at_a_mark_says_its_number():
    titles = [
        each.text for each in ET.fromstring(svg_of(shown(charts.draw_series(SERIES)))).iter(f"{SVG}title")
    ]
    assert titles == [
        "plain, 128: 1 (0.9 – 1.1)",
        "plain, 256: 2.1 (2 – 2.2)",
        "plain, 512: 4.2 (4.1 – 4.3)",
        "quick, 128: 0.5",
        "quick, 256: 0.9",
    ]


def test_a_trace_is_drawn_only_where_something_was_recorded():
    trace = [{"t": n, "gpu": 0, "power_w": 100.0 + n, "memory_mb": None} for n in range(3)]
    assert "Power" in shown(charts.draw_trace(trace, "power_w"))
    assert charts.draw_trace(trace, "memory_mb") is None
    assert charts.draw_trace([], "power_w") is None


def test_a_trend_goes_run_by_run_beside_the_claim_and_its_names_are_in_the_table_and_the_csv():
    points = [("2.13.0", "2026-01-02", 1, 3.0, 2.9, 3.1), ("", "2026-02-03", 7, 2.76, 2.7, 2.8)]
    html = shown(charts.draw_trend("Speed-up, H-1", "Speed-up (x)", points, 5.71))
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
    svg = ET.fromstring(svg_of(html))
    words = ["".join(element.itertext()) for element in svg.iter("{http://www.w3.org/2000/svg}text")]
    places = [word for word in words if "run " in word]
    assert [place.endswith(name) for place, name in zip(places, ("run 1", "run 7"), strict=True)] == [
        True,
        True,
    ]


def test_a_trend_without_a_claim_is_one_line():
    points = [("2.13.0", "2026-01-02", run, 3.0, 2.9, 3.1) for run in (1, 2)]
    assert "claimed" not in shown(charts.draw_trend("Speed-up", "Speed-up (x)", points, None))


def test_limits_and_claims_are_no_measured_lines():
    labels = ("plain", "roofline limit, batch 8", "claimed by the paper, MQA")
    rows = [{"line": label, "x": x, "y": x, "low": x, "high": x} for label in labels for x in (1, 2)]
    drawn = charts.declare("Batch", "Speed-up", rows, {"x": {"log": True}, "y": {}}).to_dict()
    assert f'"{charts.LINES[1]}"' not in str(drawn).replace("'", '"')
    assert charts.INK in str(drawn) and charts.MUTED in str(drawn)
