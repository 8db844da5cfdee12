"""How exports are asked for: spared when they are known, in the format that is accepted, streamed, never a 500."""

import asyncio
from email.utils import parsedate_to_datetime
from itertools import pairwise

import bibtexparser
import pytest
from asgiref.sync import sync_to_async
from django.db import connections
from django.test import AsyncClient
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from explorer import formats, freshness, streaming
from tests.making import make_claim, make_paper, make_technique

pytestmark = pytest.mark.django_db


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
    make_paper()
    versions.append(freshness.state().version)
    make_claim(make_paper())
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


HEADERS = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=40)
HEADERS |= st.sampled_from(
    ["/", "a/b;q=nan", "text/csv;q=", ";;", "*/*;q=-1", '"', 'W/"', "*", "Thu, 32 Foo 2024"]
)
QUERIES = st.sampled_from(
    ["q", "year", "axis", "technique", "evidence", "sort", "page", "year_from", "nothing"]
)


class TestNothingBreaksIt(TestCase):
    @settings(max_examples=150, deadline=None)
    @given(
        st.sampled_from(["/papers", "/papers/one", *(f"/papers.{name}" for name in formats.LIST)]),
        st.dictionaries(QUERIES, st.text(max_size=20), max_size=2),
        st.tuples(HEADERS, HEADERS, HEADERS),
    )
    def test_whatever_is_asked_for(self, address, query, values):
        make_paper(key="one", techniques=[make_technique()])
        headers = dict(zip(("Accept", "If-None-Match", "If-Modified-Since"), values, strict=True))
        response = self.client.get(address, query, headers=headers)
        assert response.status_code in {200, 302, 304, 400, 404, 412}
        response.getvalue()


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
