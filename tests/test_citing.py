"""What Zotero, search engines and people take from the pages: tags, COinS, JSON-LD, sitemaps, copy buttons."""

import json
import re
from urllib.parse import parse_qs
from xml.etree import ElementTree

import pytest
from playwright.sync_api import expect

from explorer import citing, sitemaps
from papers.facts import Facts
from tests.making import make_paper, make_technique

SITEMAP = "{http://www.sitemaps.org/schemas/sitemap/0.9}"
KINDS = {
    "article": ("citation_journal_title", "info:ofi/fmt:kev:mtx:journal", "article", "atitle", "jtitle"),
    "inproceedings": (
        "citation_conference_title",
        "info:ofi/fmt:kev:mtx:book",
        "proceeding",
        "atitle",
        "btitle",
    ),
    "incollection": ("citation_inbook_title", "info:ofi/fmt:kev:mtx:book", "bookitem", "atitle", "btitle"),
    "phdthesis": (
        "citation_dissertation_institution",
        "info:ofi/fmt:kev:mtx:dissertation",
        None,
        "title",
        "inst",
    ),
    "techreport": (
        "citation_technical_report_institution",
        "info:ofi/fmt:kev:mtx:book",
        "report",
        "btitle",
        "publisher",
    ),
}


def told(paper):
    return {name: values[0] for name, values in parse_qs(citing.coins(Facts.of(paper))).items()}


@pytest.mark.django_db
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_paper_is_told_by_zoteros_rules(kind):
    tag, form, genre, title, venue = KINDS[kind]
    paper = make_paper(
        [("doi", "10.5555/1")], kind=kind, venue="A Venue", title="Sums = 100% & more", month=3
    )
    tags = dict(citing.citation_tags(paper, "https://x/papers/one"))
    assert tags[tag] == "A Venue"
    assert (tags["citation_doi"], tags["citation_public_url"]) == ("10.5555/1", "https://doi.org/10.5555/1")
    assert "DC.type" not in tags
    object_ = told(paper)
    assert (object_["rft_val_fmt"], object_.get("rft.genre")) == (form, genre)
    assert (object_[f"rft.{title}"], object_[f"rft.{venue}"]) == ("Sums = 100% & more", "A Venue")
    # Zotero looks for the genre letter by letter, and splits each part at its only =.
    assert all(part.count("=") == 1 for part in citing.coins(Facts.of(paper)).split("&"))
    assert genre is None or f"&rft.genre={genre}&" in citing.coins(Facts.of(paper))


@pytest.mark.django_db
def test_a_preprint_is_one_for_zotero():
    paper = make_paper([("arxiv", "2401.00001")], venue="arXiv", year=2024)
    tags = dict(citing.citation_tags(paper, "https://x/papers/one"))
    assert tags["DC.type"] == "preprint"
    assert tags["citation_doi"] == "10.48550/arXiv.2401.00001"
    assert not {"citation_journal_title", "citation_conference_title"} & set(tags)
    assert told(paper) | {"rft.title": "", "rft.creator": ""} == {
        "ctx_ver": "Z39.88-2004",
        "rft_val_fmt": "info:ofi/fmt:kev:mtx:dc",
        "rft.type": "preprint",
        "rft.title": "",
        "rft.publisher": "arXiv",
        "rft.date": "2024",
        "rft.creator": "",
        "rft_id": "info:doi/10.48550/arXiv.2401.00001",
    }


@pytest.mark.django_db
def test_details_become_tags():
    paper = make_paper(
        [], [make_technique()], kind="article", venue="Acta", abstract="It adds.",
        details={"volume": "3", "number": "2", "pages": "1–10", "issn": "1234-5678"},
    )  # fmt: skip
    tags = dict(citing.citation_tags(paper, "https://x/papers/one"))
    wanted = {"volume": "3", "issue": "2", "firstpage": "1", "lastpage": "10", "issn": "1234-5678"}
    wanted |= {"abstract": "It adds.", "keywords": "Sparse Sums", "public_url": "https://x/papers/one"}
    assert {name: tags[f"citation_{name}"] for name in wanted} == wanted


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("authors", "complete", "tags", "plain"),
    [
        ("Sum, Ida and Made, Max", True, ["Sum, Ida", "Made, Max"], "Ida Sum and Max Made (2024)."),
        ("van der Sum, Ida M.", True, ["van\u00a0der\u00a0Sum, Ida M."], "Ida M. van der Sum (2024)."),
        ("Sum, IV, Lu and A Group", True, ["Sum, Lu, IV", "A Group"], "Lu Sum, IV and A Group (2024)."),
        ("A, B and C, D and E, F", True, ["A, B", "C, D", "E, F"], "B A, D C, and F E (2024)."),
        ("A, B", False, ["A, B"], "B A, et al. (2024)."),
        ("", True, [], "(2024)."),
    ],
)
def test_names_in_tags_and_in_a_citation(authors, complete, tags, plain):
    paper = make_paper(authors=authors, authors_complete=complete, title="Is it?", venue="ICXX")
    assert citing.authors(paper) == tags
    assert citing.plain(paper) == f"{plain} Is it? ICXX."


@pytest.mark.django_db
def test_linked_data_cannot_leave_its_element(client):
    evil = "</script><script>alert(1)</script><!-- & \u2028 é"
    paper = make_paper(
        [("arxiv", "2401.00001")], [make_technique()], title=evil, authors="</script>, <b>", month=3
    )
    page = client.get(paper.get_absolute_url()).content.decode()
    [raw] = re.findall(r'<script type="application/ld\+json">(.*?)</script>', page)
    assert not set("<>&\u2028") & set(raw)
    data = json.loads(raw)
    assert (data["@context"], data["@type"], data["headline"]) == (
        "https://schema.org",
        "ScholarlyArticle",
        evil,
    )
    assert data["author"] == [
        {"@type": "Person", "name": "<b> </script>", "givenName": "<b>", "familyName": "</script>"}
    ]
    assert (data["datePublished"], data["keywords"]) == ("2024-03", ["Sparse Sums"])
    assert data["sameAs"] == ["https://arxiv.org/abs/2401.00001"]


def locations(client, address):
    root = ElementTree.fromstring(client.get(address).content)
    return [found.text for found in root.iter(f"{SITEMAP}loc")]


@pytest.mark.django_db
def test_the_sitemap_names_every_paper_in_a_constant_number_of_queries(
    client, monkeypatch, django_assert_max_num_queries
):
    monkeypatch.setattr(sitemaps.Papers, "limit", 3)
    papers = [make_paper() for _ in range(8)]
    assert "\nSitemap: http://testserver/sitemap.xml\n" in client.get("/robots.txt").content.decode()
    with django_assert_max_num_queries(8):
        parts = locations(client, "/sitemap.xml")
    found = []
    for part in parts:
        with django_assert_max_num_queries(3):
            found += locations(client, part) if "papers" in part and some_in(part, papers) else []
    assert sorted(found) == sorted(f"http://testserver{paper.get_absolute_url()}" for paper in papers)
    assert "http://testserver/recipes" in locations(client, "/sitemap-pages.xml")
    assert client.get("/sitemap-papers.xml?p=999999").status_code == 404
    assert client.get("/sitemap-papers.xml?p=x").status_code == 404
    assert client.get("/sitemap-secrets.xml").status_code == 404


def some_in(part, papers):
    number = int(re.findall(r"p=(\d+)", part + "?p=1")[0])
    return any((paper.pk - 1) // 3 + 1 == number for paper in papers)


def test_a_reader_copies_a_reference_by_keyboard_and_hears_it(stack, page):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=stack.url)
    page.goto(f"{stack.url}/papers/dao2022flashattention")
    # A data block is no script: the strict policy leaves it alone (the page fixture fails on a breach).
    data = json.loads(page.locator('script[type="application/ld+json"]').text_content())
    assert data["headline"].startswith("FlashAttention: Fast and Memory-Efficient")
    for name, source in (("BibTeX", "bibtex"), ("link", "address"), ("citation", "citation")):
        page.get_by_role("button", name=f"Copy {name}").focus()
        page.keyboard.press("Enter")
        expect(page.locator("body > p[role=status]")).to_have_text("Copied")
        assert page.evaluate("navigator.clipboard.readText()") == page.locator(f"#{source}").text_content()
    expect(page.get_by_role("button", name="Copy BibTeX")).to_be_visible()  # its name comes back


def test_without_scripts_there_is_text_to_select_and_no_dead_button(stack, browser):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{stack.url}/papers/dao2022flashattention")
    expect(page.locator("#bibtex")).to_contain_text("@inproceedings{dao2022flashattention,")
    expect(page.locator("#citation")).to_contain_text("FlashAttention")
    expect(page.get_by_role("button", name="Copy")).to_have_count(0)
    with page.expect_download() as download:
        page.get_by_role("link", name="RIS").click()
    assert download.value.suggested_filename == "dao2022flashattention.ris"
    assert download.value.path().read_bytes().startswith(b"TY  - CONF\r\n")
    context.close()


def test_the_real_server_streams_negotiates_and_spares(stack, browser):
    context = browser.new_context()
    ask = context.request
    everything = ask.get(f"{stack.url}/papers.bib")
    assert everything.text().count("\n}\n") > 1_000
    kept = ask.get(f"{stack.url}/papers.bib", headers={"If-None-Match": everything.headers["etag"]})
    assert (kept.status, kept.body()) == (304, b"")
    one = ask.get(f"{stack.url}/papers/dao2022flashattention", headers={"Accept": "application/x-bibtex"})
    assert one.text().startswith("@inproceedings{dao2022flashattention,")
    assert ask.head(f"{stack.url}/papers.atom").headers["content-type"].startswith("application/atom+xml")
    context.close()
