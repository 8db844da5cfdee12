"""Papers leave for other programs and come back whole: the corpus through a file, each format by its rules."""

import asyncio
import json
from email.utils import parsedate_to_datetime
from itertools import pairwise
from xml.etree import ElementTree

import bibtexparser
import jsonschema
import pytest
from asgiref.sync import sync_to_async
from django.db import connection, connections
from django.test import AsyncClient
from django.test.utils import CaptureQueriesContext
from pybtex import errors
from pybtex.database import parse_string

from explorer import formats, freshness, streaming
from papers import corpus_files, csl, curation, intake, ris
from papers.corpus_files import Corpus
from papers.models import Paper, Technique
from tests.making import make_claim, make_facts, make_paper, make_technique

pytestmark = pytest.mark.django_db
ATOM = "{http://www.w3.org/2005/Atom}"


def quiet(*_):
    """No progress bar."""


def text(client, address, **headers):
    return client.get(address, headers=headers or None).getvalue().decode()


def full_facts(**over):
    given = {
        "key": "sum2024adding",
        "kind": "article",
        "title": "Adding “Up” in O(n^2) – Größe",
        "authors": "van der Sum, Ludwig and Łuk, IV, Ján and The Sums Group",
        "authors_complete": False,
        "month": 5,
        "venue": "Acta Summarum",
        "abstract": "It adds.",
        "identifiers": [["arxiv", "2205.00001"], ["doi", "10.5555/a_b"]],
        "techniques": ["sparse-sums"],
        "details": {"volume": "3", "number": "2", "pages": "1–10", "issn": "1234-5678"},
    }
    return make_facts(**given | over)


class TestTheWholeCorpus:
    def load(self):
        curation.load(corpus_files.read(), quiet)

    def test_survives_export_import_and_export_to_the_byte(self, client):
        self.load()
        written = text(client, "/papers.bib")
        rows = Technique.objects.values_list("slug", "name", "axis")
        techniques = [corpus_files.Technique(*row) for row in rows]
        Paper.objects.all().delete()
        Technique.objects.all().delete()
        readings = intake.read(written, {technique.slug for technique in techniques})
        assert [(each.faults, each.notes) for each in readings if each.faults or each.notes] == []
        curation.load(Corpus(techniques=techniques, papers=[each.facts for each in readings]), quiet)
        assert Paper.objects.count() == len(readings) == len(corpus_files.read().papers)
        assert text(client, "/papers.bib") == written

    def test_is_strict_bibtex_for_two_other_readers(self, client):
        self.load()
        written = text(client, "/papers.bib")
        library = bibtexparser.parse_string(written)
        assert library.failed_blocks == []
        errors.set_strict_mode(True)
        assert list(parse_string(written, "bibtex").entries) == [entry.key for entry in library.entries]
        assert len(library.entries) == Paper.objects.count()

    def test_is_valid_csl(self, client):
        self.load()
        items = json.loads(text(client, "/papers.csl.json"))
        jsonschema.validate(items, CSL)
        assert len(items) == Paper.objects.count()

    def test_streams_in_the_same_few_queries_for_each_chunk(self, client):
        make_paper(techniques=[make_technique()])
        with CaptureQueriesContext(connection) as few:
            text(client, "/papers.bib")
        self.load()
        with CaptureQueriesContext(connection) as many:
            text(client, "/papers.bib")
        chunks = -(-Paper.objects.count() // 500)
        assert len(many) <= len(few) * chunks


def test_ris_has_what_managers_read():
    assert ris.entry(full_facts()).split("\r\n") == [
        "TY  - JOUR",
        "ID  - sum2024adding",
        "AU  - van der Sum, Ludwig",
        "AU  - Łuk, Ján, IV",
        "AU  - The Sums Group",
        "PY  - 2024",
        "DA  - 2024/05//",
        "TI  - Adding “Up” in O(n^2) – Größe",
        "T2  - Acta Summarum",
        "JO  - Acta Summarum",
        "VL  - 3",
        "IS  - 2",
        "SN  - 1234-5678",
        "SP  - 1",
        "EP  - 10",
        "DO  - 10.5555/a_b",
        "UR  - https://arxiv.org/abs/2205.00001",
        "AB  - It adds.",
        "KW  - sparse-sums",
        "N1  - The list of authors is not complete.",
        "ER  - ",
        "",
        "",
    ]


@pytest.mark.parametrize(
    ("kind", "venue", "ris_type", "csl_type", "bibtex_field"),
    [
        ("article", "Acta", "JOUR", "article-journal", "journal"),
        ("inproceedings", "ICXX", "CONF", "paper-conference", "booktitle"),
        ("incollection", "A Book of Sums", "CHAP", "chapter", "booktitle"),
        ("phdthesis", "A University", "THES", "thesis", "school"),
        ("techreport", "A Laboratory", "RPRT", "report", "institution"),
        ("misc", "arXiv", "UNPB", "article", "archivePrefix"),
        ("misc", "A Blog", "GEN", "document", "howpublished"),
    ],
)
def test_every_kind_is_named_in_each_format(kind, venue, ris_type, csl_type, bibtex_field):
    facts = full_facts(kind=kind, venue=venue, identifiers=[["arxiv", "2205.00001"]], details={})
    assert ris.entry(facts).startswith(f"TY  - {ris_type}\r\n")
    assert csl.item(facts)["type"] == csl_type
    written = formats.bibtex.entry(facts)
    assert f"  {bibtex_field} = {{{venue}}}" in written
    [reading] = intake.read(written, {"sparse-sums"})
    assert (reading.facts.kind, reading.facts.venue) == (kind, venue)


def test_a_csl_item_is_whole():
    item = csl.item(full_facts())
    jsonschema.validate([item], CSL)
    assert item == {
        "id": "sum2024adding",
        "type": "article-journal",
        "title": "Adding “Up” in O(n^2) – Größe",
        "author": [
            {"family": "Sum", "given": "Ludwig", "non-dropping-particle": "van der"},
            {"family": "Łuk", "given": "Ján", "suffix": "IV"},
            {"literal": "The Sums Group"},
            {"literal": "others"},
        ],
        "issued": {"date-parts": [[2024, 5]]},
        "container-title": "Acta Summarum",
        "volume": "3",
        "issue": "2",
        "page": "1–10",
        "ISSN": "1234-5678",
        "DOI": "10.5555/a_b",
        "number": "arXiv:2205.00001",
        "URL": "https://arxiv.org/abs/2205.00001",
        "abstract": "It adds.",
        "keyword": "sparse-sums",
    }


def test_a_preprint_goes_by_its_arxiv_doi_and_keeps_its_class():
    facts = full_facts(
        kind="misc", venue="arXiv", identifiers=[["arxiv", "2205.00001"]], details={"primaryclass": "cs.LG"}
    )
    assert "\r\nDO  - 10.48550/arXiv.2205.00001\r\n" in ris.entry(facts)
    assert csl.item(facts)["DOI"] == "10.48550/arXiv.2205.00001"
    written = formats.bibtex.entry(facts)
    lines = "  eprint = {2205.00001},\n  archivePrefix = {arXiv},\n  primaryClass = {cs.LG},\n"
    assert lines in written and "doi" not in written
    assert [each.facts.details for each in intake.read(written, set())] == [{"primaryclass": "cs.LG"}]


@pytest.mark.parametrize(
    ("kind", "venue"), [("article", ""), ("inproceedings", "arXiv preprint"), ("misc", "CoRR")]
)
def test_what_people_edited_is_stable_after_one_export(kind, venue):
    written = formats.bibtex.entry(full_facts(kind=kind, venue=venue, details={}))
    [reading] = intake.read(written, {"sparse-sums"})
    assert formats.bibtex.entry(reading.facts) == written


def test_the_feed_is_atom_with_the_evidence_newest_first(client):
    make_paper(key="old", year=2021, title="Old & <odd>\ufffe \x0b")
    new = make_paper([("arxiv", "2401.00001")], [make_technique()], key="new", year=2024, venue="ICXX")
    make_claim(new)
    make_claim(new, slug="speedup_x-2")
    feed = ElementTree.fromstring(text(client, "/papers.atom?sort=title&q=invented or odd&page=3"))
    assert feed.tag == f"{ATOM}feed"
    address = "http://testserver/papers.atom?q=invented+or+odd"
    assert feed.findtext(f"{ATOM}id") == address
    links = {link.get("rel"): link.get("href") for link in feed.findall(f"{ATOM}link")}
    assert links["self"] == address
    assert client.get(links["alternate"]).status_code == 200
    assert feed.findtext(f"{ATOM}updated").endswith("Z")
    entries = feed.findall(f"{ATOM}entry")
    assert [entry.findtext(f"{ATOM}id") for entry in entries] == [
        "http://testserver/papers/new",
        "http://testserver/papers/old",
    ]
    assert entries[0].findtext(f"{ATOM}summary") == "2 claims, no measurements. ICXX, 2024."
    assert [name.text for name in entries[0].iter(f"{ATOM}name")] == ["Ida Invented", "Max Made"]
    assert entries[1].findtext(f"{ATOM}title").startswith("Old & <odd>")
    for entry in entries:
        assert all(entry.findtext(f"{ATOM}{name}") for name in ("id", "title", "updated"))


class TestConditionalRequests:
    @pytest.fixture(autouse=True)
    def settled(self, monkeypatch):
        """The last change is some time ago, as nearly always."""
        self.state = freshness.State(7, freshness.BEGINNING)
        monkeypatch.setattr(freshness, "state", lambda: self.state)
        make_paper([("arxiv", "2401.00001")], [make_technique()], key="one")

    @pytest.mark.parametrize(
        "address",
        [*(f"/papers.{name}" for name in formats.LIST), *(f"/papers/one.{name}" for name in formats.ONE)],
    )
    def test_what_the_client_has_is_not_sent_again(self, client, address):
        first = client.get(address)
        assert first.status_code == 200 and first.getvalue()
        again = client.get(address, headers={"If-None-Match": first["ETag"]})
        assert (again.status_code, again.getvalue()) == (304, b"")
        assert again["ETag"] == first["ETag"]
        since = client.get(address, headers={"If-Modified-Since": first["Last-Modified"]})
        assert since.status_code == 304
        assert parsedate_to_datetime(first["Last-Modified"]) == freshness.BEGINNING
        other = {"If-None-Match": '"other"', "If-Modified-Since": first["Last-Modified"]}
        assert client.get(address, headers=other).status_code == 200
        self.state = self.state._replace(version=8)
        changed = client.get(address, headers={"If-None-Match": first["ETag"]})
        assert changed.status_code == 200 and changed["ETag"] != first["ETag"]

    def test_formats_and_filters_have_tags_of_their_own(self, client):
        addresses = ["/papers.bib", "/papers.ris", "/papers.bib?year=2024", "/papers.bib?year=2023"]
        assert len({client.get(address)["ETag"] for address in addresses}) == 4
        assert client.get("/papers.bib?page=2")["ETag"] == client.get("/papers.bib")["ETag"]

    def test_while_the_second_of_a_change_lasts_only_the_tag_vouches(self, client, monkeypatch):
        monkeypatch.setattr(streaming.timezone, "now", lambda: freshness.BEGINNING)
        assert "Last-Modified" not in client.get("/papers.bib")

    def test_head_tells_the_same_without_a_body(self, client):
        head, full = client.head("/papers.bib"), client.get("/papers.bib")
        assert (head["ETag"], head["Content-Type"], head.getvalue()) == (
            full["ETag"],
            full["Content-Type"],
            b"",
        )


def test_the_version_rises_with_a_new_paper_and_a_claim():
    versions = [freshness.state().version]
    paper = make_paper()
    versions.append(freshness.state().version)
    make_claim(paper)
    versions.append(freshness.state().version)
    assert all(before < after for before, after in pairwise(versions))


BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        (None, "text/html"),
        ("*/*", "text/html"),
        (BROWSER, "text/html"),
        ("image/png", "text/html"),
        ("application/json;q=0.5, text/html", "text/html"),
        ("application/x-bibtex", "application/x-bibtex"),
        ("application/vnd.citationstyles.csl+json", "application/vnd.citationstyles.csl+json"),
        ("application/x-research-info-systems", "application/x-research-info-systems"),
        ("application/json", "application/json"),
        ("text/csv", "text/csv"),
        ("text/html;q=0.2, application/x-bibtex;q=0.9", "application/x-bibtex"),
    ],
)
@pytest.mark.parametrize("address", ["/papers", "/papers/one", "/papers?year=2024"])
def test_the_address_itself_answers_in_what_is_accepted(client, address, accept, media):
    make_paper(key="one", title="Adding Up Less")
    response = client.get(address, headers={"Accept": accept} if accept else None)
    assert response.status_code == 200
    assert response["Content-Type"].split(";")[0] == media
    assert "Accept" in response["Vary"]
    body = response.getvalue()
    assert b"Adding Up Less" in body
    if media != "text/html":
        assert client.get(response["Content-Location"]).getvalue() == body
        kept = client.get(address, headers={"Accept": accept, "If-None-Match": response["ETag"]})
        assert kept.status_code == 304 and "Accept" in kept["Vary"]


def test_only_the_list_is_a_feed(client):
    make_paper(key="one")
    assert client.get("/papers", headers={"Accept": "application/atom+xml"})["Content-Type"].startswith(
        "application/atom+xml"
    )
    alone = client.get("/papers/one", headers={"Accept": "application/atom+xml"})
    assert alone["Content-Type"].startswith("text/html")
    assert client.get("/papers/one.atom").status_code == 404


def test_who_asks_for_a_former_paper_or_none_is_told(client):
    paper = make_paper(key="new2021key")
    paper.former_keys.create(key="old2020key")
    moved = client.get("/papers/old2020key", headers={"Accept": "application/x-bibtex"})
    assert (moved.status_code, moved.url) == (
        301,
        "/papers/new2021key.bib",
    )
    assert client.get("/papers/old2020key.csl.json").url == "/papers/new2021key.csl.json"
    nobody = client.get("/papers/nobody", headers={"Accept": "application/json"})
    assert (nobody.status_code, nobody["Content-Type"]) == (404, "application/json")
    assert client.get("/papers?year=soon", headers={"Accept": "text/csv"}).status_code == 400


@pytest.mark.django_db(transaction=True)
def test_an_asynchronous_server_streams_it_piece_by_piece(monkeypatch):
    monkeypatch.setattr(streaming, "PIECE", 200)
    for number in range(5):
        make_paper(key=f"paper{number}", techniques=[make_technique()])

    async def pieces():
        response = await AsyncClient().get("/papers.bib")
        assert response.is_async
        got = [piece.decode() async for piece in response]
        await sync_to_async(connections.close_all)()
        return got

    got = asyncio.run(pieces())
    assert len(got) == 3
    assert [entry.key for entry in bibtexparser.parse_string("".join(got)).entries] == [
        f"paper{number}" for number in range(5)
    ]


# The rules of citationstyles.org's csl-data.json for the fields that are written here.
TEXT, TEXT_OR_NUMBER = {"type": "string"}, {"type": ["string", "number"]}
NAMES = ("family", "given", "non-dropping-particle", "suffix", "literal")
NAME = {"type": "object", "properties": dict.fromkeys(NAMES, TEXT), "additionalProperties": False}
TYPES = ("article", "article-journal", "book", "chapter", "document", "paper-conference", "report", "thesis")
TEXTS = ("title", "container-title", "collection-title", "publisher", "publisher-place", "genre", "abstract")
TEXTS += ("DOI", "URL", "ISBN", "ISSN", "keyword")
PARTS = {"type": "array", "minItems": 1, "maxItems": 3, "items": TEXT_OR_NUMBER}
DATE = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"date-parts": {"type": "array", "minItems": 1, "maxItems": 2, "items": PARTS}},
}
CSL = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["type", "id"],
        "additionalProperties": False,
        "properties": {
            "type": {"enum": list(TYPES)},
            "id": TEXT_OR_NUMBER,
            "author": {"type": "array", "items": NAME},
            "issued": DATE,
            **dict.fromkeys(TEXTS, TEXT),
            **dict.fromkeys(("volume", "issue", "page", "number", "edition"), TEXT_OR_NUMBER),
        },
    },
}
