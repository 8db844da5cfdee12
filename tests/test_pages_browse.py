"""Pages for reading: each says what it must, links where it should, and costs the same for one row as for three."""

import re
from urllib.parse import parse_qs

import pytest
from django.db import connection
from django.http import QueryDict
from django.test.utils import CaptureQueriesContext

from explorer.search import Search
from papers.models import AXES, FormerKey
from tests.desk import text_of
from tests.making import make_claim, make_paper, make_technique
from tests.making_runs import make_measurement, make_run, make_worker

pytestmark = pytest.mark.django_db
DONE = {"status": "done", "finished": "2026-01-02T03:04:05Z", "device_name": "Invented GPU"}


def make_evidence(**over):
    """A paper with one claim, measured on a GPU."""
    paper = make_paper([("arxiv", "2401.00001")], [make_technique()], **over)
    claim = make_claim(paper, baseline="adding everything up")
    run = make_run(paper=paper, preset="full", device="cuda", **DONE)
    make_measurement(
        run, claim=claim, headline=True, verdict="same_direction", verdict_reason="Smaller.", predicted=3.0
    )
    return paper, run


def links_of(response, pattern):
    return re.findall(rf'href="({pattern})"', response.content.decode())


def papers_of(query):
    search = Search(QueryDict(query))
    assert search.is_valid()
    return len(search.papers())


def test_the_front_page_of_an_empty_site_says_what_to_do(client):
    text = text_of(client.get("/"))
    assert "Nothing has been measured on a GPU here yet. Choose a recipe and press Reproduce." in text
    assert "No papers yet. python manage.py load_corpus loads the corpus" in text
    assert "No run yet. Choose a recipe." in text


def test_each_cell_of_the_map_leads_to_just_as_many_papers(client):
    techniques = [make_technique(slug=axis, axis=axis) for axis in AXES]
    for number in range(40):
        make_paper(techniques=techniques[number % 3 : number % 5], year=2005 + number // 2)
    page = client.get("/")
    cells = [cell for line in page.context["axes"] for cell in line.cells]
    assert len(cells) == len(AXES) * len(page.context["years"])
    assert [line.total for line in page.context["axes"]] == [papers_of(f"axis={axis}") for axis in AXES]
    assert [cell.count for cell in cells] == [papers_of(cell.query) for cell in cells]
    shown = [cell.query.replace("&", "&amp;") for cell in cells if cell.count]
    assert [href[8:] for href in links_of(page, r"/papers\?axis=\w+&amp;year=[^\"]+")] == shown


def test_claimed_stands_against_measured_on_the_front_page(client):
    run = make_evidence(title="Adding Up Less")[1]
    page = client.get("/")
    text = text_of(page)
    assert "Adding Up Less Invented, Made, 2024 Speed-up 2× 2× 1.90× – 2.10×" in text
    assert [(each.run, each.verdict) for each in page.context["headlines"]] == [(run, "same_direction")]
    lane = page.context["headlines"][0].lane
    assert lane.value == 100
    assert lane.claim_from < lane.low < 100 < lane.high < lane.claim_to < lane.predicted + 10


def test_lower_is_better_is_drawn_with_better_to_the_right(client):
    paper = make_paper()
    claim = make_claim(paper, better="lower", value=0.5, low=0.4, high=0.6)
    run = make_run(paper=paper, preset="full", device="cuda", **DONE)
    make_measurement(run, claim=claim, value=0.25, low=0.24, high=0.26, verdict="reproduced")
    [measured] = client.get("/").context["headlines"]
    assert measured.lane.value > 100


def test_a_paper_leads_with_its_evidence(client):
    paper, run = make_evidence(title="Adding Up Less", verified=False, authors_complete=False, venue="ICXX")
    make_claim(paper, slug="speedup_x-2", value=7, low=7, high=7, verified=False, locator="Fig. 3")
    text = text_of(client.get(paper.get_absolute_url()))
    assert "Adding Up Less Invented, Ida; Made, Max; and others ICXX, 2024 · arxiv:2401.00001" in text
    assert "Unverified facts." in text
    assert (
        "Speed-up x; against adding everything up Table 1 Propose a correction of Speed-up 2× 1.5× – 2.5× editor's range"
        " 3× 2× 1.90× – 2.10× 95 %, n = 30 same direction"
        f" run {run.pk} on Invented GPU Smaller."
    ) in text
    assert (
        "Speed-up unverified x Fig. 3 Propose a correction of Speed-up 7× – not yet No recipe measures this paper yet."
        in text
    )


def test_a_smoke_run_is_no_evidence(client):
    paper = make_paper()
    claim = make_claim(paper)
    make_measurement(make_run(paper=paper, **DONE), claim=claim, verdict="not_comparable")
    assert [row.measurements for row in client.get(paper.get_absolute_url()).context["rows"]] == [[]]
    assert client.get("/").context["measured"] == 0


def test_only_the_newest_measurement_of_a_number_stands(client):
    paper, _ = make_evidence()
    again = make_run(paper=paper, preset="full", device="cuda", **DONE | {"finished": "2026-02-02T03:04:05Z"})
    make_measurement(again, claim=paper.claims.get(), value=1.95, verdict="reproduced")
    [row] = client.get(paper.get_absolute_url()).context["rows"]
    assert [each.run for each in row.measurements] == [again]


def test_reference_managers_find_their_tags(client):
    paper, _ = make_evidence(title="Sums & <Parts>", month=3, venue="ICXX", kind="inproceedings")
    page = client.get(paper.get_absolute_url()).content.decode()
    assert re.findall(r'<meta name="(citation_\w+)" content="([^"]*)">', page) == [
        ("citation_title", "Sums &amp; &lt;Parts&gt;"),
        ("citation_author", "Invented, Ida"),
        ("citation_author", "Made, Max"),
        ("citation_publication_date", "2024/03"),
        ("citation_public_url", "https://arxiv.org/abs/2401.00001"),
        ("citation_abstract_html_url", f"http://testserver/papers/{paper.key}"),
        ("citation_conference_title", "ICXX"),
        ("citation_arxiv_id", "2401.00001"),
        ("citation_pdf_url", "https://arxiv.org/pdf/2401.00001"),
        ("citation_keywords", "Sparse Sums"),
    ]
    listed = client.get("/papers").content.decode()
    [context_object] = re.findall(r'class="Z3988" title="([^"]*)"', listed)
    told = parse_qs(context_object.replace("&amp;", "&"))
    assert told["rft.atitle"] == ["Sums & <Parts>"]
    assert told["rft.au"] == ["Invented, Ida", "Made, Max"]
    assert told["rft_id"] == ["https://arxiv.org/abs/2401.00001"]


@pytest.mark.parametrize(
    "address",
    [
        "/arxiv/2401.00001",
        "/arxiv/2401.00001v2",
        "/doi/10.48550/arXiv.2401.00001",
        "/doi/10.1000/INVENTED.1",
        "/openreview/AbC12dEfGh",
    ],
)
def test_every_identifier_leads_to_the_one_record(client, address):
    make_paper(
        [("arxiv", "2401.00001"), ("doi", "10.1000/invented.1"), ("openreview", "AbC12dEfGh")], key="one"
    )
    assert client.get(address).url == "/papers/one"


def test_a_former_key_leads_on_for_ever(client):
    FormerKey.objects.create(key="old2020key", paper=make_paper(key="new2021key"))
    moved = client.get("/papers/old2020key")
    assert (moved.status_code, moved.url) == (301, "/papers/new2021key")
    assert client.get("/papers/old2020key.bib").url == "/papers/new2021key.bib"


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("/papers/nobody2020nothing", "There is no paper nobody2020nothing. Search for it, or submit its"),
        ("/arxiv/2401.99999", "No paper here goes by arxiv:2401.99999. You can submit its reference."),
        ("/papers?page=2", "There is no page 2: this list has 1."),
        (
            "/papers.xml",
            "Papers are not offered as .xml here; there are .bib, .ris, .csl.json, .csv, .json, .atom.",
        ),
        ("/techniques/magic", "No technique is called magic; all of them are listed at /techniques."),
        ("/nowhere", "There is nothing at /nowhere."),
        ("/doi/10.1234/%00", "No paper here goes by doi:10.1234/"),
    ],
)
def test_what_is_missing_says_so_and_what_to_do(client, address, sentence):
    page = client.get(address)
    assert page.status_code == 404
    assert sentence in text_of(page)
    assert "submit the paper you miss" in text_of(page)


def test_a_bad_filter_is_named_and_kept(client):
    page = client.get("/papers?year=soon&q=sums")
    assert page.status_code == 400
    assert "year : Give a year as 2023, or a span as 2022..2024." in text_of(page)
    assert 'value="sums"' in page.content.decode()


def test_an_identifier_typed_as_words_leads_straight_there(client):
    make_paper([("arxiv", "2401.00001")], key="one")
    assert client.get("/papers?q=arXiv:2401.00001v3").url == "/papers/one"
    within = client.get("/papers?q=2401.00001", headers={"HX-Request": "true"})
    assert within.headers["HX-Redirect"] == "/papers/one"
    assert "No paper here goes by arxiv:2401.55555." in text_of(client.get("/papers?q=2401.55555"))


def test_htmx_gets_the_list_alone_and_a_clean_address(client):
    make_paper(title="Adding Up Less")
    part = client.get("/papers?q=adding&year_from=&sort=", headers={"HX-Request": "true"})
    assert "<html" not in part.content.decode()
    assert part.headers["HX-Push-Url"] == "/papers?q=adding"
    assert "HX-Request" in part.headers["Vary"]
    restored = client.get("/papers", headers={"HX-Request": "true", "HX-History-Restore-Request": "true"})
    assert "<html" in restored.content.decode()


def test_a_technique_lists_its_papers_best_evidence_first(client):
    technique = make_technique()
    plain = make_paper(techniques=[technique])
    measured, _ = make_evidence()
    page = client.get("/techniques/sparse-sums")
    assert [row.key for row in page.context["papers"]] == [measured.key, plain.key]
    assert "Sparse Sums 2" in text_of(client.get("/techniques"))


def test_a_technique_goes_on_where_its_link_leads(client):
    for number in range(6):
        make_paper([], [make_technique()], month=number + 1)
    first = [paper.key for paper in client.get("/techniques/sparse-sums").context["papers"]]
    listed = client.get("/papers?technique=sparse-sums&sort=measured").context["page"]
    assert first == [paper.key for paper in listed]


def test_titles_cannot_smuggle_markup(client):
    make_evidence(title='<script>alert("x")</script>', venue="<b>")
    for address in ("/", "/papers", "/techniques/sparse-sums"):
        assert "<script>alert" not in client.get(address).content.decode()


def test_no_page_carries_a_style_or_a_script_of_its_own(client):
    paper, run = make_evidence()
    for address in ("/", "/papers", paper.get_absolute_url(), f"/runs/{run.pk}", "/about", "/techniques"):
        page = client.get(address)
        assert re.findall(r"<style|\sstyle=|\son\w+=|<script>", page.content.decode()) == [], address
        assert "script-src" not in page.headers["Content-Security-Policy"]
        assert "default-src 'self'" in page.headers["Content-Security-Policy"]


def test_health_counts_workers(client):
    make_worker()
    assert client.get("/healthz").json() == {"database": "ok", "workers": 1}


LISTS = ["/", "/papers", "/papers?q=invented", "/techniques", "/techniques/sparse-sums", "/papers.bib"]
LISTS += ["/papers.csv", "/papers.json", "/runs", "/recipes", "/workers"]


@pytest.mark.parametrize("address", LISTS)
def test_thirty_rows_cost_as_many_queries_as_one(client, address):
    make_evidence()
    make_worker()
    client.get(address)  # what is looked up once and kept
    with CaptureQueriesContext(connection) as one:
        client.get(address)
    for number in range(29):
        paper = make_paper(
            [("arxiv", f"2402.{number:05}")], [make_technique(), make_technique(slug=f"way-{number}")]
        )
        claim = make_claim(paper)
        run = make_run(paper=paper, preset="full", device="cuda", worker=make_worker(), **DONE)
        make_measurement(run, claim=claim, headline=True, verdict="reproduced")
    client.get(address)  # as the taxonomy is read anew after a change
    with CaptureQueriesContext(connection) as thirty:
        client.get(address)
    assert len(thirty) == len(one)
