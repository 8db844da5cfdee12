"""The table of all recipes: its filters, its CSV, what is not measured yet, and the pictures of a recipe."""

import csv
import io
from dataclasses import replace

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from papers.models import Technique
from reproduce import catalogue
from reproduce.models import Run
from tests.desk import text_of
from tests.making import make_claim, make_paper
from tests.pictures import fetch_pictures
from tests.test_batches import FLASH
from tests.test_pooling import make_repeat

pytestmark = pytest.mark.django_db
SWEEP = {
    "name": "time",
    "title": "Time over length",
    "x": {"name": "Length", "unit": "tokens", "log": True},
    "y": {"name": "Time", "unit": "ms", "log": True},
    "lines": [
        {"label": "standard", "x": [1, 2, 4], "y": [3.0, 5.0, 9.0]},
        {"label": "claimed by the paper", "x": [1, 4], "y": [2.0, 2.0]},
        {"label": "roofline limit", "x": [1, 4], "y": [1.0, 1.0]},
    ],
}


@pytest.fixture
def paper(db):
    paper = make_paper(identifiers=[("arxiv", "2205.14135")])
    make_claim(paper, value=3.0, low=2.5, high=3.5)
    paper.techniques.add(Technique.objects.create(slug="io", name="IO", axis="architecture", position=1))
    return paper


def table(client, query=""):
    response = client.get(f"/recipes.csv{query}")
    assert response["Content-Type"].startswith("text/csv")
    return list(csv.DictReader(io.StringIO(response.content.decode())))


def test_every_recipe_has_a_line_and_the_measured_one_its_numbers(client, paper):
    run = make_repeat(paper, 3.1)
    run.measurements.update(predicted=7.7, detail={"fraction_of_limit": {"candidate": 0.62}})
    make_repeat(paper, 3.2, day=1).measurements.update(
        predicted=7.7, detail={"fraction_of_limit": {"candidate": 0.625}}
    )
    text = text_of(client.get("/recipes"))
    assert "3.15×" in text and "7.7×" in text and "62.5 %" in text and "Invented H-1" in text
    assert "not measured yet: reproduce it" in text
    rows = {row["recipe"]: row for row in table(client)}
    assert set(rows) == {recipe.slug for recipe in catalogue.recipes()}
    found = rows[FLASH]
    assert (found["axis"], found["verdict"], found["runs"]) == ("architecture", "reproduced", "2")
    assert (float(found["measured"]), float(found["claimed"])) == (pytest.approx(3.15), 3.0)
    assert float(found["fraction_of_limit"]) == 0.625


def test_axis_and_verdict_choose_the_lines_and_the_csv_alike(client, paper):
    make_repeat(paper, 3.1)
    assert [row["recipe"] for row in table(client, "?axis=architecture&verdict=reproduced")] == [FLASH]
    assert table(client, "?axis=architecture&verdict=invalid") == []
    assert FLASH not in [row["recipe"] for row in table(client, "?verdict=unmeasured")]
    page = client.get("/recipes?axis=architecture&verdict=invalid")
    assert "No recipe has this axis and this verdict." in text_of(page)
    page = client.get("/recipes?axis=architecture&verdict=reproduced").content.decode()
    assert 'href="/recipes.csv?axis=architecture&amp;verdict=reproduced"' in page
    assert len(table(client, "?axis=\x00&verdict=nonsense")) == len(catalogue.recipes())


def test_runs_whose_guards_all_failed_are_told_of_and_not_counted(client, paper):
    make_repeat(paper, 3.1, passed=False)
    assert "1 run on Invented H-1, each with a failed guard" in text_of(client.get("/recipes"))
    assert next(row for row in table(client) if row["recipe"] == FLASH)["measured"] == ""


def test_runs_of_earlier_code_are_told_of_and_not_counted(client, paper):
    make_repeat(paper, 3.1, recipe_digest="0" * 64)
    assert "not measured yet as it stands; 1 run of earlier code" in text_of(client.get("/recipes"))
    assert next(row for row in table(client) if row["recipe"] == FLASH)["measured"] == ""


def test_the_table_costs_as_many_queries_for_many_results_as_for_one(client, paper):
    counts = []
    for repeats in (1, 4):
        for day in range(repeats):
            make_repeat(paper, 3.0 + day / 100, day=day)
        with CaptureQueriesContext(connection) as captured:
            client.get("/recipes")
        counts.append(len(captured))
    assert counts[0] == counts[1]


@pytest.mark.parametrize("address", ["/papers/{key}", f"/recipes/{FLASH}"])
def test_the_newest_sound_run_gives_the_pictures(client, paper, address):
    Run.objects.filter(pk=make_repeat(paper, 3.0).pk).update(series=[SWEEP])
    Run.objects.filter(pk=make_repeat(paper, 3.0, day=1, passed=False).pk).update(
        series=[SWEEP | {"title": "Of a failed run"}]
    )
    page = fetch_pictures(client, address.format(key=paper.key))
    assert "Time over length" in page and "Of a failed run" not in page
    figure = page[page.index("<svg role") :].split("</svg>")[0]
    assert "claimed by the paper" in figure and "var(--line-1)" in figure and "var(--line-2)" not in figure


def test_a_small_model_reproduces_a_trend_and_never_the_paper(client, paper, monkeypatch):
    make_repeat(paper, 3.1).measurements.update(verdict="reproduced")
    assert "trend reproduced" not in text_of(client.get("/recipes"))
    small = replace(catalogue.recipe(FLASH), tier="C")
    monkeypatch.setattr(catalogue, "recipe", lambda slug: small)
    for address in (f"/papers/{paper.key}", "/papers", "/", f"/recipes/{FLASH}?preset=full"):
        page = client.get(address).content.decode()
        assert "trend reproduced" in page, address
        assert "as a trend at small scale" in page, address
