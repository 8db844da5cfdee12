"""Exports: exactly the papers of the list, in its order, complete and safe to open."""

import csv
import io
import json

import pytest
from django.http import QueryDict

from explorer.search import Search
from papers import bibtex, intake
from tests.making import make_claim, make_paper, make_technique

pytestmark = pytest.mark.django_db


def make_list():
    technique = make_technique()
    for number in range(30):
        paper = make_paper(
            [("arxiv", f"2401.{number:05}")], [technique], year=2020 + number % 3, title=f"Sums {number}"
        )
        if number % 2:
            make_claim(paper)


@pytest.mark.parametrize("query", ["", "year=2021", "q=sums&sort=measured", "evidence=claims&sort=measured"])
def test_every_export_is_the_list(client, query):
    make_list()
    listed = Search(QueryDict(query))
    assert listed.is_valid()
    keys = [paper.key for paper in listed.papers()]
    assert len(keys) > 9
    rows = list(csv.DictReader(io.StringIO(client.get(f"/papers.csv?{query}").getvalue().decode())))
    assert [row["key"] for row in rows] == keys
    assert [each["key"] for each in json.loads(client.get(f"/papers.json?{query}").getvalue())] == keys
    blocks = bibtex.read(client.get(f"/papers.bib?{query}").getvalue().decode())
    assert [block.kind for block in blocks] == ["entry"] * len(keys)
    assert [block.key for block in blocks] == keys


def test_an_identifier_for_words_exports_the_paper_that_the_page_leads_to(client):
    make_list()
    for query in ("q=2401.00003", "q=https://arxiv.org/abs/2401.00003v2&year=1999"):
        (found,) = json.loads(client.get(f"/papers.json?{query}").getvalue())
        assert client.get(f"/papers?{query}").url == f"/papers/{found['key']}"
        assert found["arxiv"] == "2401.00003"
        assert [block.key for block in bibtex.read(text(client, query))] == [found["key"]]


def text(client, query):
    return client.get(f"/papers.bib?{query}").getvalue().decode()


def test_one_paper_as_json_and_bibtex(client):
    paper = make_paper(
        [("arxiv", "2401.00001"), ("doi", "10.1000/1")],
        [make_technique()],
        key="one",
        title="Ünder & over",
        authors_complete=False,
        code_url="https://example.org/code",
    )
    make_claim(paper)
    assert client.get("/papers/one.json").json() == {
        "key": "one",
        "title": "Ünder & over",
        "authors": ["Invented, Ida", "Made, Max", "others"],
        "year": 2024,
        "month": None,
        "venue": "",
        "arxiv": "2401.00001",
        "doi": "10.1000/1",
        "openreview": None,
        "acl": None,
        "url": None,
        "code": "https://example.org/code",
        "axes": ["architecture"],
        "techniques": ["sparse-sums"],
        "verified": True,
        "claims": 1,
        "measurements": 0,
    }
    text = client.get("/papers/one.bib").getvalue().decode()
    assert text == bibtex.entry(paper)
    [reading] = intake.read(text, {"sparse-sums"})
    assert reading.facts.title == "Ünder & over"


def test_an_empty_list_is_an_empty_file(client):
    assert json.loads(client.get("/papers.json").getvalue()) == []
    assert client.get("/papers.bib").getvalue() == b""
    assert client.get("/papers.csv").getvalue().decode().count("\n") == 1


def test_a_bad_filter_is_refused_by_name(client):
    refused = client.get("/papers.bib?year=soon")
    assert refused.status_code == 400
    assert "year\n  * Give a year as 2023" in refused.getvalue().decode()


def test_a_spreadsheet_runs_nothing(client):
    make_paper(title='=HYPERLINK("http://example.org")', authors="-2+3, @x")
    [row] = csv.DictReader(io.StringIO(client.get("/papers.csv").getvalue().decode()))
    assert row["title"] == '\'=HYPERLINK("http://example.org")'
    assert row["authors"] == "'-2+3, @x"
