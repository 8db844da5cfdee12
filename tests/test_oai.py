"""Harvesters get every paper once, whatever changes meanwhile; whatever they send is answered by the protocol."""

from datetime import UTC, datetime
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import django as of_django

from explorer import oai
from papers.models import Paper
from tests.making import make_paper, make_technique

OAI, DC = "{http://www.openarchives.org/OAI/2.0/}", "{http://purl.org/dc/elements/1.1/}"


def ask(client, **arguments):
    response = client.get("/oai", {name.rstrip("_"): value for name, value in arguments.items()})
    assert response.status_code == 200 and response["Content-Type"].startswith("text/xml")
    return ElementTree.fromstring(response.content)


def fault(tree):
    return tree.find(f"{OAI}error").get("code")


def texts(tree, name):
    return [found.text for found in tree.iter(name)]


def harvest(client, between=lambda: None, **arguments):
    keys, token = [], None
    while True:
        tree = ask(client, verb="ListIdentifiers", **({"resumptionToken": token} if token else arguments))
        keys += [each.rpartition(":")[2] for each in texts(tree, f"{OAI}identifier")]
        tokens = texts(tree, f"{OAI}resumptionToken")
        if not tokens:
            return keys
        token = tokens[0]
        between()


@pytest.mark.django_db
def test_a_harvester_gets_every_paper_once_while_others_change(client, monkeypatch):
    monkeypatch.setattr(oai, "BATCH", 3)
    papers = [make_paper(techniques=[make_technique()]) for _ in range(10)]

    def between():
        papers[0].save()  # changed again, and so the newest

    assert harvest(client, between, metadataPrefix="oai_dc") == [paper.key for paper in papers]


@pytest.mark.django_db
def test_by_axis_and_by_date_of_change(client):
    old, new = make_paper(techniques=[make_technique()]), make_paper()
    Paper.objects.filter(pk=old.pk).update(changed=datetime(2025, 1, 1, 12, 0, 0, 900_000, tzinfo=UTC))
    Paper.objects.filter(pk=new.pk).update(changed=datetime(2025, 3, 1, tzinfo=UTC))
    assert harvest(client, metadataPrefix="oai_dc", set="architecture") == [old.key]
    assert harvest(client, metadataPrefix="oai_dc", from_="2025-02-01") == [new.key]
    assert harvest(client, metadataPrefix="oai_dc", until="2025-01-01T12:00:00Z") == [old.key]
    assert harvest(client, metadataPrefix="oai_dc", from_="2025-03-01", until="2025-03-01") == [new.key]
    assert len(harvest(client, metadataPrefix="oai_dc", from_="0001-01-01", until="9999-12-31")) == 2
    assert fault(ask(client, verb="ListRecords", metadataPrefix="oai_dc", set="magic")) == "noRecordsMatch"
    assert (
        fault(ask(client, verb="ListRecords", metadataPrefix="oai_dc", from_="2026-01-01"))
        == "noRecordsMatch"
    )


@pytest.mark.django_db
def test_a_record_in_dublin_core(client):
    paper = make_paper(
        [("arxiv", "2401.00001")], [make_technique()], title="Sums & <Parts>\ufffe", month=3, venue="ICXX"
    )
    tree = ask(client, verb="GetRecord", metadataPrefix="oai_dc", identifier=f"oai:testserver:{paper.key}")
    assert texts(tree, f"{DC}title") == ["Sums & <Parts>"]
    assert texts(tree, f"{DC}creator") == ["Invented, Ida", "Made, Max"]
    assert texts(tree, f"{DC}date") == ["2024-03"]
    assert texts(tree, f"{DC}subject") == ["Sparse Sums"]
    assert texts(tree, f"{DC}identifier") == [
        f"http://testserver/papers/{paper.key}",
        "https://arxiv.org/abs/2401.00001",
    ]
    assert texts(tree, f"{OAI}setSpec") == ["architecture"]
    posted = client.post("/oai", {"verb": "Identify"})
    assert texts(ElementTree.fromstring(posted.content), f"{OAI}baseURL") == ["http://testserver/oai"]
    assert texts(ask(client, verb="ListSets"), f"{OAI}setSpec")[:2] == ["budget", "data"]
    assert texts(ask(client, verb="ListMetadataFormats"), f"{OAI}metadataPrefix") == ["oai_dc"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({}, "badVerb"),
        ({"verb": "Steal"}, "badVerb"),
        ({"verb": ["Identify", "Identify"]}, "badVerb"),
        ({"verb": "ListRecords"}, "badArgument"),
        ({"verb": "ListRecords", "metadataPrefix": "marc"}, "cannotDisseminateFormat"),
        ({"verb": "ListRecords", "metadataPrefix": "oai_dc", "from": "soon"}, "badArgument"),
        ({"verb": "ListRecords", "resumptionToken": "x"}, "badResumptionToken"),
        ({"verb": "ListRecords", "resumptionToken": "cursor=1"}, "badResumptionToken"),
        ({"verb": "ListRecords", "resumptionToken": "cursor=99999999999999999999&metadataPrefix=oai_dc"}, "badResumptionToken"),
        ({"verb": "ListRecords", "resumptionToken": "cursor=1&metadataPrefix=oai_dc&from_=x"}, "badResumptionToken"),
        ({"verb": "GetRecord", "metadataPrefix": "oai_dc", "identifier": "oai:testserver:none"}, "idDoesNotExist"),
        ({"verb": "GetRecord", "metadataPrefix": "oai_dc", "identifier": "\0"}, "idDoesNotExist"),
        ({"verb": "Identify", "more": "x"}, "badArgument"),
        ({"verb": "GetMetadata", "metadataPrefix": "oai_dc", "identifier": "oai:testserver:one"}, "badVerb"),
    ],
)  # fmt: skip
def test_a_fault_is_told_in_the_protocols_words(client, arguments, code):
    make_paper(key="one")
    assert fault(ElementTree.fromstring(client.get("/oai", arguments).content)) == code


WORDS = """verb set from until metadataPrefix identifier resumptionToken oai_dc 0000-00-00 9999-12-31 \0 from_
ListRecords ListSets GetRecord GetMetadata Identify cursor=-1&set=%00 cursor=1&metadataPrefix=oai_dc&x=y
cursor=1&metadataPrefix=oai_dc&until=9999-12-31"""
WORDS = st.sampled_from(WORDS.split())


class TestNothingBreaksIt(of_django.TestCase):
    @settings(max_examples=150, deadline=None)
    @given(st.dictionaries(WORDS | st.text(max_size=8), WORDS | st.text(max_size=12), max_size=4))
    def test_whatever_is_sent(self, arguments):
        verbs = {"verb": "ListRecords"} | arguments
        for each in (arguments, verbs):
            response = self.client.get("/oai", each)
            assert response.status_code == 200
            ElementTree.fromstring(response.content)
