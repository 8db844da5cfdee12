"""Papers side by side: the numbers are those of the database, and whatever is typed has an answer."""

import csv
import io
import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from explorer import sidebyside
from explorer.templatetags.figures import figure
from explorer.views_charts import DECLARED
from papers.models import FormerKey
from reproduce.models import Measurement
from tests.desk import text_of
from tests.making import make_claim, make_paper, make_technique
from tests.making_runs import make_measurement, make_run
from tests.pictures import csv_of, fetch_pictures, svg_of, table_of
from tests.test_pooling import make_repeat

pytestmark = pytest.mark.django_db
DONE = {"status": "done", "finished": "2026-01-02T03:04:05Z", "device_name": "Invented GPU"}


def make_measured(key, seen=2.0, verdict="reproduced", **claimed):
    paper = make_paper(key=key, title=f"On {key}", authors="Invented, Ida", techniques=[make_technique()])
    claim = make_claim(paper, **claimed)
    run = make_run(paper=paper, preset="full", device="cuda", **DONE)
    numbers = {"value": seen, "low": seen * 0.9, "high": seen * 1.1, "metric": claim.metric}
    make_measurement(run, claim=claim, verdict=verdict, **numbers)
    return paper


def two():
    return make_measured("one", 1.5, value=3.0, low=2.0, high=4.0), make_measured(
        "two", 9.0, "not_reproduced"
    )


def test_two_papers_stand_side_by_side(client):
    two()
    page = client.get("/compare?papers=one,two")
    text = text_of(page)
    assert page.status_code == 200
    assert "Year 2024 2024 Venue none known none known Techniques Sparse Sums Sparse Sums" in text
    run_1, run_2 = (each.run_id for each in Measurement.objects.order_by("run_id"))
    assert (
        "Speed-up 3× claimed, 2× – 4× x Table 1 1.5× measured, 1.35× – 1.65× reproduced"
        f" Invented GPU, run {run_1}"
        " 2× claimed, 1.5× – 2.5× x Table 1 9× measured, 8.10× – 9.90× not reproduced"
        f" Invented GPU, run {run_2}"
    ) in text


@pytest.mark.parametrize(
    "query",
    [
        "papers=one,two",
        "papers=one&papers=two",
        "papers=%20one%20,,two,one&papers=two",
        "papers=old2020key,two",
    ],
)
def test_a_choice_may_be_written_in_several_ways(client, query):
    one, _ = two()
    FormerKey.objects.create(key="old2020key", paper=one)
    assert [paper.key for paper in client.get(f"/compare?{query}").context["choice"].papers] == ["one", "two"]


def test_a_paper_may_go_by_its_identifier(client):
    two()
    make_paper([("arxiv", "2401.00001")], key="third")
    page = client.get("/compare?papers=one,arXiv:2401.00001v2")
    assert [paper.key for paper in page.context["choice"].papers] == ["one", "third"]


def test_a_metric_that_only_one_paper_claims_is_no_claim_of_the_other(client):
    one, _ = two()
    make_claim(one, slug="mem", metric="mem_saving_frac", unit="fraction", value=0.5, low=0.5, high=0.5)
    page = client.get("/compare?papers=two,one")
    assert [row.metric for row in page.context["table"]] == ["speedup_x", "mem_saving_frac"]
    assert "Memory saved no claim 50 % claimed fraction Table 1 not measured yet" in text_of(page)
    assert len(page.context["pictures"]) == 1  # of the metric that they share


def test_a_number_without_a_claim_stands_under_no_claim(client):
    _, two_ = two()
    run = two_.runs.get()
    make_measurement(run, name="extra", label="An extra number", metric="ppl", value=7, low=7, high=7)
    text = text_of(client.get("/compare?papers=one,two"))
    assert (
        f"Perplexity no claim no claim 7 measured not comparable An extra number; Invented GPU, run {run.pk}"
        in text
    )


def test_what_is_unknown_is_named_and_nothing_else_is_lost(client):
    two()
    page = client.get("/compare?papers=one,nonesuch&q=two&find=1")
    assert page.status_code == 400
    assert "No paper here goes by nonesuch: search for it, or submit its reference." in text_of(page)
    html = page.content.decode()
    assert re.findall(r'name="papers" value="(\w+)"( checked)?', html) == [("one", " checked"), ("two", "")]
    assert 'value="two" maxlength' in html
    beside = client.get("/compare?papers=one,two,nonesuch")
    assert beside.status_code == 200 and "No paper here goes by nonesuch" in text_of(beside)
    assert "Speed-up 3× claimed" in text_of(beside)


def test_too_few_or_too_many_give_the_form_with_what_is_chosen(client):
    keys = [make_paper(key=f"paper-{number}").key for number in range(8)]
    assert client.get("/compare").status_code == 200
    one = client.get("/compare?papers=paper-0")
    assert one.status_code == 200 and "table" not in one.context
    many = client.get("/compare?papers=" + ",".join(keys))
    assert many.status_code == 400
    assert "8 papers are chosen, and at most 6 fit: leave out 2." in text_of(many)
    assert re.findall(r'name="papers" value="([\w-]+)" checked', many.content.decode()) == keys
    assert client.get("/compare?papers=" + ",".join(keys[:6])).status_code == 200


def test_the_csv_has_the_numbers_of_the_database(client):
    two()
    answer = client.get("/compare.csv?papers=one,two")
    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    told = [
        (row["paper"], *(float(row[name]) for name in ("claimed", "measured", "low", "high"))) for row in rows
    ]
    assert told == [
        (each.run.paper.key, each.claim.value, each.value, each.low, each.high)
        for each in Measurement.objects.order_by("run_id")
    ]
    for query in ("papers=one", "papers=one,nonesuch,two", ""):
        refused = client.get(f"/compare.csv?{query}")
        assert refused.status_code == 400 and refused.content.startswith(b"papers: ")


def test_the_api_tells_the_same(client):
    two()
    found = client.get("/api/compare?papers=one,two").json()
    assert [paper["key"] for paper in found["papers"]] == ["one", "two"]
    told = [
        (
            each["paper"],
            each["claim"]["value"],
            [(m["value"], m["verdict"], m["repeats"]) for m in each["measurements"]],
        )
        for each in found["evidence"]
    ]
    assert told == [("one", 3.0, [(1.5, "reproduced", 1)]), ("two", 2.0, [(9.0, "not_reproduced", 1)])]
    refused = client.get("/api/compare?papers=one,nonesuch")
    assert refused.status_code == 400
    assert "nonesuch" in refused.json()["error"]["fields"]["papers"][0]
    assert client.get("/api/compare?papers=one,two&paper=three").json()["error"]["fields"].keys() == {"paper"}


def test_the_picture_its_table_and_its_csv_agree_with_the_database(client):
    two()
    html = fetch_pictures(client, "/compare?papers=one,two")
    html = html[html.index('<figure class="chart"') :]
    measured = Measurement.objects.order_by("run_id")
    assert [(row[1], row[4], row[6]) for row in table_of(html)] == [
        (figure(m.claim.value, m.metric), figure(m.value, m.metric), m.get_verdict_display().lower())
        for m in measured
    ]
    assert [tuple(map(float, (row[3], row[8], row[9], row[10]))) for row in csv_of(html)[1:]] == [
        (m.claim.value, m.value, m.low, m.high) for m in measured
    ]
    svg = svg_of(html)
    for words in ("1.5× reproduced", "9× not reproduced"):  # a verdict in words, beside its shape and colour
        assert words in svg
    assert "Invented 2024 claims 3× (2× – 4×)" in svg


def test_ratios_go_by_factors_and_the_chart_is_valid():
    papers = two()
    [row] = sidebyside.rows(papers)
    drawn = sidebyside.claims_and_measurements(row.metric, list(sidebyside.pairs(papers, row)))
    spec = DECLARED[drawn.kind](*drawn.data).to_dict(validate=True)
    assert spec["layer"][0]["encoding"]["x"]["scale"]["type"] == "log"


def test_repeats_of_the_present_code_are_pooled_and_say_so(client):
    paper = make_paper([("arxiv", "2205.14135")], key="flash")
    make_claim(paper)
    for day, value in enumerate((3.0, 3.2, 3.1)):
        make_repeat(paper, value, day=day).measurements.update(verdict="reproduced")
    make_measured("other")
    assert "3.1× measured" in text_of(client.get("/compare?papers=flash,other"))
    assert "3 runs pooled" in text_of(client.get("/compare?papers=flash,other"))
    assert "3 runs pooled" in text_of(client.get("/papers/flash"))
    [pooled] = [each for each in client.get("/").context["headlines"] if each.run.paper == paper]
    assert (pooled.value, pooled.repeats) == (3.1, 3)
    assert "3 runs" in text_of(client.get("/"))


def test_more_rows_cost_no_more_queries(client):
    two()
    client.get("/compare?papers=one,two")
    with CaptureQueriesContext(connection) as few:
        client.get("/compare?papers=one,two")
    for number in range(4):
        paper = make_measured(f"more-{number}")
        for metric in ("mem_saving_frac", "ppl", "accuracy"):
            make_claim(paper, slug=metric, metric=metric)
    with CaptureQueriesContext(connection) as many:
        client.get("/compare?papers=one,two,more-0,more-1,more-2,more-3")
    assert len(many) == len(few)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=80)
@given(
    values=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=60), max_size=4),
    words=st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    form=st.sampled_from(["/compare", "/compare.csv", "/api/compare"]),
)
def test_whatever_is_typed_has_an_answer(client, values, words, form):
    beside = {"q": words, "find": "1"} if form == "/compare" else {}
    answer = client.get(form, {"papers": values} | beside)
    assert answer.status_code in (200, 400)


@pytest.mark.parametrize(
    "papers", ["\x00", "one\x00,two", "," * 10_000, "x," * 5000, "x" * 10_000, "10.1/" + "9" * 5000]
)
def test_a_flood_has_an_answer(client, papers):
    for form in ("/compare", "/compare.csv", "/api/compare"):
        assert client.get(form, {"papers": papers}).status_code in (200, 400)


def test_a_technique_shows_its_papers_over_time_and_against_each_other(client):
    two()
    make_paper(techniques=[make_technique()], year=2019)
    page = fetch_pictures(client, "/techniques/sparse-sums")
    over_time, speed = page.split('<figure class="chart"')[1:]
    assert [row for row in table_of(over_time) if row[-1] != "0"] == [
        ["2019", "0", "0", "1", "1"],
        ["2024", "2", "0", "0", "2"],
    ]
    assert [list(map(str, row)) for row in csv_of(over_time)[1:]] == [
        [cell.strip() for cell in row] for row in table_of(over_time)
    ]
    assert "/papers?technique=sparse-sums&amp;year=2019" in over_time
    assert [row[0] for row in table_of(speed)] == ["Invented 2024", "Invented 2024"]


def test_the_taxonomy_counts_its_papers_year_by_year(client):
    for year in (1998, 2019, 2024, 2024):
        make_paper(techniques=[make_technique()], year=year)
    assert "Sparse Sums 1 0 0 0 0 0 0 1 0 0 0 0 2 4" in text_of(client.get("/techniques"))
    rows = list(csv.reader(io.StringIO(client.get("/techniques.csv").content.decode())))
    assert rows[0] == ["axis", "technique", "name", "to 2012", *map(str, range(2013, 2025)), "all"]
    assert rows[1] == ["architecture", "sparse-sums", "Sparse Sums", "1", *"000000100002", "4"]
    assert "Papers by year, 2019: 1, 2024: 2" in client.get("/techniques").content.decode()


def test_rows_of_the_list_lead_to_the_comparison(client):
    two()
    for address in ("/papers", "/techniques/sparse-sums"):
        html = client.get(address).content.decode()
        assert re.search(r'<form id="compare"[^>]* method="get" action="/compare"', html)
        assert sorted(re.findall(r'form="compare" name="papers" value="(\w+)"', html)) == ["one", "two"]
    assert 'href="/compare?papers=one"' in client.get("/papers/one").content.decode()
