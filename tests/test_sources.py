"""What arXiv, Crossref and OpenAlex answer, read into facts; what is no answer, told as such."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from papers.facts import Facts
from papers.sources import arxiv, crossref, openalex, reading
from tests.lookup_server import RECORDED

ONE, TWO, DOI = ("arxiv", "2401.00001"), ("arxiv", "2401.00002"), ("doi", "10.5555/sums.1")


def recorded(name):
    return (RECORDED / name).read_bytes()


def test_arxiv_answers_about_many_at_once():
    found = arxiv.read(recorded("arxiv.xml"), [ONE, TWO, ("arxiv", "2401.00009")])
    assert found[ONE] == Facts(
        title="Adding Up Less",
        authors="Invented, Ida and van Sum, Ludwig",
        year=2024,
        month=1,
        venue="arXiv",
        abstract="We add fewer numbers, and $O(n)$ of them twice.",
        identifiers=[["arxiv", "2401.00001"], ["doi", "10.5555/sums.1"]],
        sources=["arXiv API, 2401.00001"],
        details={"primaryclass": "cs.LG", "note": "Journal of Sums 7 (2025) 1-9"},
    )
    assert list(found) == [ONE, TWO]


def test_crossref_answers_about_a_doi():
    found = crossref.read(recorded("crossref.json"), [DOI])[DOI]
    assert found == Facts(
        kind="article",
        title="Adding Up Less",
        authors="Invented, Ida and van Sum, IV, Ludwig and The Sums Collaboration & Friends",
        year=2025,
        month=3,
        venue="Journal of Sums & Products",
        abstract="We add fewer numbers, a < b.",
        identifiers=[["doi", "10.5555/sums.1"]],
        sources=["Crossref, 10.5555/SUMS.1"],
        details={"pages": "1-9", "volume": "7", "number": "2", "publisher": "Invented Press"},
    )


def test_openalex_puts_versions_together():
    found = openalex.read(recorded("openalex.json"), [TWO])[TWO]
    assert found.identifiers == [["arxiv", "2401.00002"], ["doi", "10.5555/sums.2"]]
    assert (found.title, found.authors, found.venue) == (
        "Adding Up Nothing",
        "Made, Max",
        "Transactions on Sums",
    )
    assert (found.year, found.month, found.abstract) == (2025, 4, "Nothing is added.")


def test_a_query_that_arxiv_does_not_understand_is_told():
    with pytest.raises(reading.Unreadable, match=r"It said: malformed query\."):
        arxiv.read_feed(recorded("arxiv_fault.xml"))


ENTITY = b'<!DOCTYPE feed [<!ENTITY x SYSTEM "file:///etc/passwd">]><feed xmlns="http://www.w3.org/2005/Atom">&x;</feed>'


@pytest.mark.parametrize("read", [arxiv.read, crossref.read, openalex.read])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe\x00",
        b"<html><body>Sorry</body></html>",
        b"[" * 100_000,
        b"null",
        b'{"message": []}',
        b'{"message": {"DOI": 7, "title": {"x": 1}}, "authorships": [null]}',
        ENTITY,
        recorded("arxiv.xml")[:-200],
        recorded("crossref.json")[:-20],
    ],
)
def test_garbage_and_halves_are_unreadable(read, body):
    with pytest.raises(reading.Unreadable, match=r"^Its "):
        read(body, [ONE])


def test_what_the_database_cannot_keep_is_left_out():
    work = json.loads(recorded("crossref.json"))
    work["message"] |= {"title": ["A\0dd\ud800ing " + "x" * 2000], "author": [{"family": "; drop,"}]}
    found = crossref.read(json.dumps(work).encode(), [DOI])[DOI]
    assert found.title.startswith("Adding xxx") and len(found.title) == 1000
    assert found.authors == "drop"


@pytest.mark.parametrize(
    ("date", "month"), [("2025-00-01", None), ("2025-13-01", None), ("2025", None), ("2025-12", 12)]
)
def test_a_month_that_is_none_is_left_out(date, month):
    work = json.loads(recorded("openalex.json")) | {"publication_date": date}
    assert openalex.read(json.dumps(work).encode(), [TWO])[TWO].month == month


def test_a_record_without_a_year_is_said_to_lack_it():
    work = json.loads(recorded("crossref.json"))
    del work["message"]["published-print"]
    with pytest.raises(reading.Unreadable, match=r"^Its record lacks a year\.$"):
        crossref.read(json.dumps(work).encode(), [DOI])


def nodes(value, path=()):
    """Every place in a JSON value."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        yield from nodes(inner, (*path, name))


def replaced(value, path, other):
    if not path:
        return other
    copy = value.copy()
    copy[path[0]] = replaced(value[path[0]], path[1:], other)
    return copy


ANY_TEXT = st.text(st.characters(), max_size=20)
ANY_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize(
    ("read", "name", "recording"),
    [(crossref.read, DOI, "crossref.json"), (openalex.read, TWO, "openalex.json")],
)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_an_answer_with_anything_in_any_place_is_read_or_unreadable(read, name, recording, data):
    answer = json.loads(recorded(recording))
    path = data.draw(st.sampled_from(list(nodes(answer))))
    body = json.dumps(replaced(answer, path, data.draw(ANY_VALUE))).encode()
    try:
        (facts,) = read(body, [name]).values()
    except reading.Unreadable:
        return
    stored = json.dumps(facts.to_json(), ensure_ascii=False).encode()
    assert b"\\u0000" not in stored
    assert facts.title and facts.authors and 1900 <= facts.year <= 2100
    assert facts.month is None or 1 <= facts.month <= 12
    assert all(isinstance(value, str) for value in facts.details.values())
