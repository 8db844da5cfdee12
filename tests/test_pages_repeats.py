"""What repeats say, on the pages of a recipe and of a run: pooled numbers, and the line from torch to torch."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from explorer import trends
from reproduce import catalogue, pooling
from reproduce.models import Run
from reproduce.pooling import Change
from tests.desk import text_of
from tests.making import make_claim, make_paper
from tests.test_batches import FLASH
from tests.test_pooling import make_repeat

pytestmark = pytest.mark.django_db


@pytest.fixture
def paper(db):
    paper = make_paper(identifiers=[("arxiv", "2205.14135")])
    make_claim(paper, value=3.0, low=2.5, high=3.5)
    return paper


def queries_of(client, address):
    with CaptureQueriesContext(connection) as captured:
        assert client.get(address).status_code == 200
    return len(captured)


def make_trend(paper):
    for day, (torch, value) in enumerate(
        [("2.13.0", 3.0), ("2.13.0", 3.001), ("2.14.0", 2.76), ("2.14.0", 2.761)]
    ):
        make_repeat(paper, value, torch=torch, day=day)


def test_a_recipe_shows_its_repeats_pooled_and_the_line_from_torch_to_torch(client, paper):
    make_trend(paper)
    page = client.get(f"/recipes/{FLASH}")
    text = text_of(page)
    assert "Invented H-1, torch 2.14.0 · 2 runs · 2.76×" in text
    assert text.index("torch 2.14.0 · 2 runs") < text.index("torch 2.13.0 · 2 runs")
    assert (
        "Invented H-1: Changed by −8 % with torch 2.14.0; beyond the noise: both intervals, and the 0.0362 % between runs."
        in text
    )
    assert page.content.decode().count("<figure") == 1
    assert page.content.decode().count('<details class="pool" open>') == 1


def test_a_recipe_without_results_says_nothing_of_repeats(client, paper):
    assert 'id="pooled"' not in client.get(f"/recipes/{FLASH}").content.decode()


def test_any_number_of_repeats_costs_a_recipes_page_as_many_queries(client, paper):
    make_trend(paper)
    address = f"/recipes/{FLASH}?preset=full"
    client.get(address)
    before = queries_of(client, address)
    for _ in range(3):
        make_repeat(paper, 2.76, torch="2.14.0", finished=Run.objects.latest("pk").finished)
    client.get(address)  # the chart is drawn once
    assert queries_of(client, address) == before


def test_a_run_shows_its_repeats_where_there_are_any(client, paper):
    run = make_repeat(paper, 3.0)
    assert "Repeats of this question" not in text_of(client.get(f"/runs/{run.pk}"))
    make_repeat(paper, 3.0, day=1)
    assert (
        "the median of 2 runs is 3× (2.99× – 3.01×, 95 %), n = 60; the runs lie 0 % apart. reproduced"
        in text_of(client.get(f"/runs/{run.pk}"))
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (None, ""),
        (Change("2.14.0", "2.13.0", -0.0812, True, 0.01), "Changed by −8.1 % with torch 2.14.0; beyond the noise: both intervals, and the 1 % between runs."),
        (Change("2.14.0", "2.13.0", 0.05, True, None), "Changed by +5 % with torch 2.14.0, which is beyond both intervals; but one run each says nothing of the spread between runs. Repeat it to tell."),
        (Change("2.14.0", "2.13.0", 0.0, False, 0.1), "No change beyond the noise from torch 2.13.0 to 2.14.0 (+0 %)."),
    ],
)  # fmt: skip
def test_what_a_newer_torch_changed_is_said_in_a_sentence(change, said):
    assert trends.told(change) == said


def test_one_run_makes_no_line(paper):
    make_repeat(paper)
    recipe = catalogue.recipe(FLASH)
    from_one = trends.trends(recipe, pooling.pools(recipe, "full"))
    assert from_one == []
