"""What the tests of pictures share: figures as a reader sees them once they have come into view."""

import csv
import io
import re
from html import unescape
from urllib.parse import unquote

from explorer import drawing
from explorer.views_charts import DECLARED

PROMISE = re.compile(r'name="promise" value="([^"]+)"')


def shown(figure):
    """The HTML of a figure that has been drawn."""
    [html] = drawing.on_page([figure])
    if promise := PROMISE.search(html):
        drawing.drawn(unescape(promise[1]), DECLARED)
        [html] = drawing.on_page([figure])
    return str(html)


def fetch_pictures(client, address):
    """The page at an address after all its pictures have been fetched, as htmx fetches them."""
    for promise in PROMISE.findall(client.get(address).content.decode()):
        client.post("/charts", {"promise": unescape(promise)}, headers={"HX-Request": "true"})
    return client.get(address).content.decode()


def svg_of(html):
    return re.search(r"<svg role.*?</svg>", html, re.DOTALL)[0]


def csv_of(html):
    """The rows of the CSV that a figure offers."""
    href = re.search(r'href="data:text/csv;charset=utf-8,([^"]*)"', html)[1]
    return list(csv.reader(io.StringIO(unquote(href))))


def table_of(html):
    """The rows of the table beneath a figure, as text."""
    body = re.search(r"<tbody>(.*?)</tbody>", html, re.DOTALL)[1]
    rows = re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)
    return [
        [
            unescape(re.sub("<[^>]+>", "", cell))
            for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)
        ]
        for row in rows
    ]
