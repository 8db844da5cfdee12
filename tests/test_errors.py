"""What goes wrong gets a page or JSON that says what happened and what to do, even with no database."""

import pytest
from django.db import connection
from django.test import Client
from django.urls import path

from config.urls import handler400, handler403, handler404, handler500, urlpatterns
from tests.desk import text_of

HANDLERS = [handler400, handler403, handler404, handler500]


def broken(request):
    raise ZeroDivisionError("an invented fault")


urlpatterns = [*urlpatterns, path("broken", broken), path("api-broken", broken)]


@pytest.fixture
def no_database(db):
    """The next query finds no server, as after its crash: the connection is really refused."""
    kept = connection.settings_dict
    connection.close()
    options = {**kept["OPTIONS"], "pool": False}
    connection.settings_dict = {**kept, "HOST": "/nonexistent", "OPTIONS": options}
    yield
    connection.settings_dict = kept
    connection.close()


@pytest.fixture
def reader():
    """A browser that gets the answer to a crash, as over the network."""
    return Client(raise_request_exception=False)


@pytest.mark.parametrize("address", ["/", "/papers", "/papers/any", "/runs", "/runs/1", "/account/login/"])
@pytest.mark.django_db(transaction=True)
def test_a_database_that_is_away_gives_a_page_of_its_own(no_database, reader, address):
    page = reader.get(address)
    assert page.status_code == 503
    assert page.headers["Retry-After"] == "5"
    assert "The database is not answering Nothing can be read or stored just now." in text_of(page)


@pytest.mark.parametrize("address", ["/api/papers", "/api/runs/1", "/healthz"])
@pytest.mark.django_db(transaction=True)
def test_programs_are_told_of_it_in_json(no_database, reader, address):
    answer = reader.get(address, headers={"Accept": "application/json"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert answer.json()["error"]["code"] == "database_away"


@pytest.mark.urls("tests.test_errors")
@pytest.mark.django_db
def test_a_crash_of_ours_shows_no_trace_and_says_what_to_do(reader):
    page = reader.get("/broken")
    assert page.status_code == 500
    assert "That was our fault Something broke on our side; it has been written to the log." in text_of(page)
    assert "ZeroDivisionError" not in page.content.decode()
    answer = reader.get("/broken", headers={"Accept": "application/json"})
    assert answer.json()["error"]["code"] == "server_error"


@pytest.mark.django_db
def test_programs_get_their_404_as_json(client):
    answer = client.get("/papers/nobody", headers={"Accept": "application/json"})
    assert answer.status_code == 404
    assert answer.json()["error"]["message"].startswith("There is no paper nobody.")


@pytest.mark.django_db
def test_a_stale_form_gives_back_what_was_typed(ben):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(ben)
    page = browser.post("/submit", {"text": "@misc{mine, title = {<Typed> with care}}", "note": ""})
    assert page.status_code == 403
    assert "Please send it again" in text_of(page)
    assert "@misc{mine, title = {&lt;Typed&gt; with care}}" in page.content.decode()
    refused = browser.post("/account/login/", {"login": "ben", "password": "my-secret"})
    assert "my-secret" not in refused.content.decode()


@pytest.mark.django_db
def test_a_request_that_makes_no_sense_is_a_400(client):
    page = client.get("/", headers={"Host": "bad host"})
    assert page.status_code == 400
    assert "That was not understood" in text_of(page)


@pytest.mark.django_db
def test_a_body_that_is_too_large_is_told_so(client):
    page = client.post("/submit", {"text": "x" * (6 * 2**20 + 1)})
    assert page.status_code == 400
    assert "What you sent is larger than 6 MB; send it in parts." in text_of(page)
