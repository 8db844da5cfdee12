"""Whatever is sent, the answer is one shape of error that says what to do, and never a 500."""

import pytest
from django.db import InterfaceError, OperationalError
from django.test import Client
from rest_framework.settings import api_settings
from rest_framework.throttling import AnonRateThrottle

from explorer import api
from papers.models import Submission
from reproduce.models import Run
from tests.making import bib_entry
from tests.making_programs import make_program, told

HOSTILE = {
    "nothing": b"",
    "no JSON": b"{recipe: 1",
    "half a word": b'{"recipe": "flash',
    "not a number": b'{"recipe": NaN}',
    "a huge number": b'{"recipe": ' + b"9" * 5000 + b"}",
    "an infinite number": b'{"recipe": 1e999, "parameters": {"a": 1e999}}',
    "a list": b"[1, 2, 3]",
    "a text": b'"run"',
    "null": b"null",
    "a number": b"7",
    "deep nesting": b"[" * 100_000,
    "a deep parameter": b'{"parameters": ' + b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"}",
    "a NUL": b'{"recipe": "a\\u0000b", "text": "a\\u0000b"}',
    "a NUL as a name": b'{"a\\u0000b": 1}',
    "half a pair": b'{"recipe": "\\ud800", "text": "\\ud800"}',
    "half a pair as a name": b'{"parameters": {"\\udfff": 1}}',
    "bytes that are no text": b'{"recipe": "\xff\xfe"}',
    "an empty name": b'{"": 1}',
    "a flood of names": b"{" + b",".join(b'"n%d": 1' % n for n in range(20_000)) + b"}",
    "a long name": b'{"' + b"n" * 1_000_000 + b'": 1}',
}


@pytest.mark.parametrize("address", ["/api/runs", "/api/submissions"])
@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_a_body_that_makes_no_sense_is_a_400_that_stays_short(ben, address, body):
    response = make_program(ben).generic("POST", address, body, content_type="application/json")
    assert told(response)[0] == 400
    assert len(response.content) < 64_000
    assert (Run.objects.count(), Submission.objects.count()) == (0, 0)


def test_a_body_without_its_length_is_a_411(ben):
    response = make_program(ben).generic("POST", "/api/runs", headers={"Transfer-Encoding": "chunked"})
    assert told(response) == (411, "length_required", {})


def test_a_body_too_large_is_a_413(ben, settings):
    body = b'{"text": "' + b"x" * settings.DATA_UPLOAD_MAX_MEMORY_SIZE + b'"}'
    response = make_program(ben).generic("POST", "/api/submissions", body, content_type="application/json")
    assert told(response) == (413, "too_large", {})


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
def test_what_is_not_json_is_a_415(ben, kind):
    response = make_program(ben).generic("POST", "/api/runs", b"recipe=flashattention-io", content_type=kind)
    assert told(response) == (415, "unsupported_media_type", {})


@pytest.mark.parametrize(
    "name", ["q", "axis", "technique", "year", "year_from", "evidence", "sort", "page", "page_size"]
)
@pytest.mark.parametrize("value", ["%00", "9" * 5000, "a" * 5000])
def test_a_query_string_that_makes_no_sense_is_a_400(client, db, name, value):
    response = client.get(f"/api/papers?{name}={value}")
    assert told(response)[:2] == (400, "invalid")
    assert len(response.content) < 4_000


@pytest.mark.parametrize(
    "text", ["%ED%A0%80", "%22", "or+or+-", "'%3B--", "%F0%9F%98%80", "(((", "%5C", "-", "%25s"]
)
def test_any_words_may_be_searched_for(client, db, text):
    assert client.get(f"/api/papers?q={text}").json()["results"] == []


@pytest.mark.parametrize(
    ("method", "address"), [("POST", "/api/papers"), ("DELETE", "/api/runs"), ("GET", "/api/runs/1/cancel")]
)
def test_a_method_that_an_address_lacks_is_a_405_for_everybody(db, ben, method, address):
    for program in (make_program(), make_program(ben)):
        response = program.generic(method, address)
        assert told(response) == (405, "method_not_allowed", {})
        assert method not in response["Allow"]


@pytest.mark.parametrize("address", ["/api/nothing", "/api/papers/a/b", "/api/runs/one", "/api/runs/-1"])
def test_an_address_that_does_not_exist_is_named_in_json(client, db, address):
    response = client.get(address)
    assert told(response) == (404, "not_found", {})
    assert response.json()["error"]["message"] == f"There is nothing at {address}."


def test_a_slash_too_many_is_forgiven(client, db):
    assert client.get("/api/claims/?page=1")["Location"] == "/api/claims?page=1"


def test_a_session_may_write_only_with_its_csrf_token(ben):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(ben)
    sent = {"data": {"text": bib_entry()}, "content_type": "application/json"}
    assert told(browser.post("/api/submissions", **sent))[:2] == (403, "permission_denied")
    browser.get("/account/tokens")  # any page with a form sets the cookie
    token = {"X-CSRFToken": browser.cookies["csrftoken"].value}
    assert browser.post("/api/submissions", **sent, headers=token).status_code == 201


def test_too_many_requests_are_told_when_to_come_back(client, db, monkeypatch):
    monkeypatch.setattr(AnonRateThrottle, "THROTTLE_RATES", {"anon": "2/min"})
    # Without a proxy of ours in front, a made-up X-Forwarded-For makes nobody a newcomer.
    answers = [client.get("/api/claims", headers={"X-Forwarded-For": f"10.0.0.{n}"}) for n in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert told(answers[2]) == (429, "throttled", {})
    assert 0 < int(answers[2]["Retry-After"]) <= 60


def test_submissions_are_limited_as_on_the_page(ben, monkeypatch):
    program = make_program(ben)
    sent = [program.post("/api/submissions", {"text": bib_entry()}).status_code for _ in range(61)]
    assert sent == [201] * 60 + [429]


@pytest.mark.parametrize(
    "away", [OperationalError("connection refused"), InterfaceError("connection already closed")]
)
def test_a_database_that_is_away_is_a_503_with_when_to_come_back(away):
    response = api.problem(away, {})
    assert (response.status_code, response["Retry-After"]) == (503, "5")
    assert response.data["error"]["code"] == "database_away"


def test_a_fault_of_our_own_is_left_to_the_500_page_and_the_log():
    assert api_settings.EXCEPTION_HANDLER(ZeroDivisionError(), {}) is None
