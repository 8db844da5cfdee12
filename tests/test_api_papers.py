"""The literature as JSON: the same search as the pages, one paper with its evidence, techniques, claims."""

import pytest

from papers.models import FormerKey
from tests.making import make_claim, make_paper, make_technique
from tests.making_programs import make_program, told
from tests.making_runs import make_measurement, make_run


def keys(response):
    assert response.status_code == 200, response.json()
    return [paper["key"] for paper in response.json()["results"]]


@pytest.fixture
def three(db):
    sums, cuts = (
        make_technique(),
        make_technique(slug="deep-cuts", name="Deep Cuts", axis="inference", position=1),
    )
    make_paper(key="old", title="Old Sums", year=2020, techniques=[sums])
    make_paper(key="new", title="New Cuts", year=2024, techniques=[cuts])
    make_paper(
        key="both",
        title="Sums and Cuts",
        year=2022,
        techniques=[sums, cuts],
        identifiers=[("arxiv", "2201.00001")],
    )


@pytest.mark.parametrize(
    "query",
    ["", "axis=inference", "axis=inference&axis=architecture", "technique=sparse-sums", "year=2022", "year=2021..",
     "q=sums", "q=cuts&sort=measured", "sort=measured", "year_from=2021&year_to=2023", "evidence=claims", "q=zebra"],
)  # fmt: skip
def test_a_query_string_finds_what_the_page_finds(client, three, query):
    page = client.get(f"/papers?{query}").context["page"]
    assert keys(client.get(f"/api/papers?{query}")) == [paper.key for paper in page.object_list]


@pytest.mark.parametrize(
    "query", ["axis=nothing", "year=20x", "sort=best", "page=0", "year_from=1", "technique=none"]
)
def test_a_bad_query_string_is_told_in_the_words_of_the_page(client, three, query):
    errors = client.get(f"/papers?{query}").context["search"].errors
    assert told(client.get(f"/api/papers?{query}")) == (400, "invalid", errors)


def test_an_identifier_for_words_finds_that_paper(client, three):
    assert keys(client.get("/api/papers?q=https://arxiv.org/abs/2201.00001v3")) == ["both"]


def test_a_filter_that_does_not_exist_is_refused_by_name(client, three):
    status, code, fields = told(client.get("/api/papers?techniqe=sparse-sums"))
    assert (status, code, list(fields)) == (400, "invalid", ["techniqe"])


def test_pages_lead_to_one_another(client, three):
    first = client.get("/api/papers?sort=measured&page_size=2").json()
    assert [first["count"], first["previous"]] == [3, None]
    assert first["next"] == "http://testserver/api/papers?sort=measured&page_size=2&page=2"
    second = client.get(first["next"]).json()
    assert second["next"] is None
    assert second["previous"] == "http://testserver/api/papers?sort=measured&page_size=2&page=1"
    whole = keys(client.get("/api/papers?sort=measured"))
    assert [paper["key"] for paper in first["results"] + second["results"]] == whole == ["new", "both", "old"]


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("page=2", "There is no page 2; the last one is 1."),
        ("page_size=201", "Ensure this value is less than or equal to 200."),
        ("page_size=0", "Ensure this value is greater than or equal to 1."),
        ("page_size=many", "A valid integer is required."),
    ],
)
def test_a_page_that_cannot_be_is_refused(client, three, query, sentence):
    assert told(client.get(f"/api/papers?{query}")) == (400, "invalid", {query.split("=")[0]: [sentence]})


def test_one_paper_has_its_identifiers_claims_measurements_and_runs(client, db):
    paper = make_paper(
        key="made2024sums", title="Sums", identifiers=[("arxiv", "2205.14135")], techniques=[make_technique()]
    )
    claim = make_claim(paper)
    run = make_run(paper=paper, preset="full", status="done", finished="2026-01-02T03:04:05Z")
    make_measurement(run, claim=claim, headline=True, verdict="reproduced", verdict_reason="It holds.")
    make_measurement(make_run())
    found = client.get("/api/papers/made2024sums").json()
    assert found["identifiers"] == [
        {"scheme": "arxiv", "value": "2205.14135", "url": "https://arxiv.org/abs/2205.14135"}
    ]
    assert found["authors"] == ["Invented, Ida", "Made, Max"]
    assert [found["axes"], found["techniques"]] == [["architecture"], ["sparse-sums"]]
    assert found["recipes"] == ["flashattention-io"]
    assert [(c["slug"], c["value"], c["locator"]) for c in found["claims"]] == [("speedup_x", 2.0, "Table 1")]
    assert [(m["run"], m["claim"], m["verdict"]) for m in found["measurements"]] == [
        (run.pk, "speedup_x", "reproduced")
    ]
    assert [(r["id"], r["status"]) for r in found["runs"]] == [(run.pk, "done")]
    assert [found["claimed"], found["measured"], found["headline"]] == [1, 1, "reproduced"]


def test_a_former_key_leads_to_the_present_one(client, db):
    paper = make_paper(key="now")
    FormerKey.objects.create(key="once", paper=paper)
    assert client.get("/api/papers/once")["Location"] == "/api/papers/now"
    assert client.get("/api/papers/once", follow=True).json()["former_keys"] == ["once"]


def test_a_paper_that_is_not_here_is_named(client, db):
    response = client.get("/api/papers/nobody2024nothing")
    assert told(response) == (404, "not_found", {})
    assert "nobody2024nothing" in response.json()["error"]["message"]


def test_techniques_come_in_the_order_of_the_taxonomy_with_their_papers(client, three):
    assert client.get("/api/techniques").json()["results"] == [
        {"slug": "sparse-sums", "name": "Sparse Sums", "axis": "architecture", "papers": 2},
        {"slug": "deep-cuts", "name": "Deep Cuts", "axis": "inference", "papers": 2},
    ]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["a/speedup_x", "a/speedup_x-2", "b/mem_peak_ratio"]),
        ("paper=a", ["a/speedup_x", "a/speedup_x-2"]),
        ("metric=mem_peak_ratio", ["b/mem_peak_ratio"]),
        ("verified=false", ["a/speedup_x-2"]),
        ("verified=true&paper=a", ["a/speedup_x"]),
        ("paper=nobody", []),
    ],
)
def test_claims_are_filtered_by_paper_metric_and_whether_they_were_seen(client, db, query, found):
    a, b = make_paper(key="a"), make_paper(key="b")
    make_claim(b, slug="mem_peak_ratio", metric="mem_peak_ratio")
    make_claim(a)
    make_claim(a, slug="speedup_x-2", position=1, verified=False)
    rows = client.get(f"/api/claims?{query}").json()["results"]
    assert [f"{row['paper']}/{row['slug']}" for row in rows] == found


@pytest.mark.parametrize("query", ["metric=none", "verified=perhaps", "paper=no slug", "sort=measured"])
def test_a_bad_filter_of_claims_is_refused(client, db, query):
    assert told(client.get(f"/api/claims?{query}"))[0] == 400


def test_reading_needs_no_account_and_writing_is_not_offered(db):
    for address in ("/api/papers", "/api/techniques", "/api/claims", "/api/recipes"):
        assert make_program().get(address).status_code == 200
        response = make_program().post(address, {})
        assert told(response) == (405, "method_not_allowed", {})
        assert set(response["Allow"].split(", ")) == {"GET", "OPTIONS"}
