"""Papers leave for other programs and come back whole: the corpus through a file, each format by its rules."""

import json
from xml.etree import ElementTree

import bibtexparser
import jsonschema
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pybtex import errors
from pybtex.database import parse_string

from explorer import formats, streaming
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

    def test_is_read_from_the_database_only_as_it_is_sent(self, client):
        self.load()
        with CaptureQueriesContext(connection) as queries:
            response = client.get("/papers.bib")
            next(iter(response.streaming_content))
            first = len(queries)
            rest = list(response.streaming_content)
            assert len(queries) > first
        assert max(map(len, rest)) < 4 * streaming.PIECE


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
