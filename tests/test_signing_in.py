"""Signing in and up: limits that hold across processes and lose nothing, and traps that let people through."""

import runpy
from concurrent.futures import ThreadPoolExecutor

import pytest
from allauth.account.adapter import get_adapter
from csp.constants import SELF
from django.contrib.auth import get_user_model
from django.core import mail, signing
from django.core.exceptions import ValidationError
from django.db import connection
from django.test import RequestFactory

from explorer import signing_in, throttle, traps
from tests.desk import text_of

PASSWORD = "a-long-way-to-nowhere"


def long_ago():
    """The mark that our page puts into a form, as old as the form of somebody who reads it."""
    signer = signing.TimestampSigner(salt=traps.SALT)
    signer.timestamp = lambda: signing.b62_encode(int(throttle.time.time()) - 60)
    return signer.sign("shown")


def make_typed(**over):
    typed = {"email": "dee@example.org", "username": "dee", "password1": PASSWORD, "password2": PASSWORD}
    return typed | {"homepage": "", "shown": long_ago()} | over


def is_there(name):
    return get_user_model().objects.filter(username=name).exists()


def test_a_person_signs_up_without_meeting_a_trap(client, db):
    page = client.get("/account/signup/").content.decode()
    unseen = (
        '<span hidden aria-hidden="true"><input name="homepage" value="" tabindex="-1" autocomplete="off">'
    )
    assert unseen in page
    assert "I am a person" not in page
    assert client.post("/account/signup/", make_typed()).status_code == 302
    assert is_there("dee")


@pytest.mark.parametrize(
    ("trap", "why"),
    [
        ({"homepage": "https://example.org"}, "a field that nobody sees was filled in"),
        ({"shown": signing.TimestampSigner(salt=traps.SALT).sign("shown")}, "the form came back at once"),
        ({"shown": "forged:1:2"}, "without the mark that our page puts into it"),
        ({"shown": ""}, "without the mark that our page puts into it"),
    ],
)
def test_whoever_is_caught_reads_why_and_goes_on(client, db, monkeypatch, trap, why):
    monkeypatch.setattr(traps, "LEAST_S", 600 if "at once" in why else traps.LEAST_S)
    caught = client.post("/account/signup/", make_typed(**trap))
    page = text_of(caught)
    assert why in page
    assert not is_there("dee")
    assert 'value="dee@example.org"' in caught.content.decode()
    assert '<input type="checkbox" name="person"' in caught.content.decode()
    assert client.post("/account/signup/", make_typed(**trap, person="on")).status_code == 302
    assert is_there("dee")


def test_the_page_for_a_new_password_has_the_same_traps(client, ben):
    caught = client.post(
        "/account/password/reset/", {"email": ben.email, "homepage": "x", "shown": long_ago()}
    )
    assert (caught.status_code, mail.outbox) == (200, [])
    client.post("/account/password/reset/", {"email": ben.email, "homepage": "", "shown": long_ago()})
    assert [message.to for message in mail.outbox] == [[ben.email]]


@pytest.mark.parametrize(
    ("view", "address", "typed"),
    [
        (signing_in.LoginView, "/account/login/", {"login": "dee", "password": "wrong"}),
        (signing_in.SignupView, "/account/signup/", make_typed(password2="another")),
        (signing_in.PasswordResetView, "/account/password/reset/", {"email": "dee@example.org"}),
    ],
)
def test_beyond_the_limit_the_same_page_says_when_and_keeps_what_was_typed(
    client, db, monkeypatch, view, address, typed
):
    monkeypatch.setattr(view, "limit", 1)
    client.post(address, typed)
    refused = client.post(address, typed)
    page = refused.content.decode()
    assert refused.status_code == 429
    assert 0 < int(refused["Retry-After"]) <= view.per_s
    assert "That was too often from your network. Try again in" in page
    assert 'value="dee' in page
    assert "wrong" not in page and PASSWORD not in page
    elsewhere = client.post(address, typed, REMOTE_ADDR="192.0.2.7")
    assert elsewhere.status_code == 200


def test_one_account_is_guarded_from_wherever_the_guesses_come(client, ben):
    for number in range(5):
        client.post("/account/login/", {"login": "ben", "password": "x"}, REMOTE_ADDR=f"192.0.2.{number}")
    refused = client.post("/account/login/", {"login": "ben", "password": "ben-password"})
    assert (refused.status_code, refused["Retry-After"]) == (429, "300")
    assert 'value="ben"' in refused.content.decode()
    assert "Too many failed login attempts" in text_of(refused)


def test_what_allauth_counts_answers_the_same_429(client, ben):
    client.force_login(ben)
    typed = {"oldpassword": "x", "password1": "y", "password2": "y"}
    answers = [client.post("/account/password/change/", typed) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert answers[-1]["Retry-After"] == "60"


def test_a_provider_is_there_once_it_is_configured(client, db, settings, monkeypatch):
    assert client.get("/account/github/login/").status_code == 404
    monkeypatch.setenv("GITHUB_CLIENT_ID", "x")
    made = runpy.run_path(settings.BASE_DIR / "config" / "settings.py")
    assert "allauth.socialaccount.providers.github" in made["INSTALLED_APPS"]
    assert made["CONTENT_SECURITY_POLICY"]["DIRECTIVES"]["form-action"] == [SELF, "https://github.com"]


@pytest.mark.django_db(transaction=True)
def test_of_many_guesses_at_once_no_more_are_tried_than_may():
    """allauth's own count, in the cache that all processes share; each thread has a connection of its own."""

    def guess(number):
        request = RequestFactory().post("/account/login/", REMOTE_ADDR=f"192.0.2.{number}")
        try:
            get_adapter(request).pre_authenticate(
                request, username="guessed", password="x"
            )  # the count outlives this test
        except ValidationError:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(6) as threads:
        assert 0 < sum(threads.map(guess, range(18))) <= 5


@pytest.mark.parametrize(
    ("behind", "forwarded", "address"),
    [
        (False, "198.51.100.9", "192.0.2.1"),
        (True, "203.0.113.5, 198.51.100.9", "198.51.100.9"),
        (True, "2001:db8:1:2::3", "2001:db8:1:2::/64"),
        (True, "no address", "nobody"),
        (True, "", "192.0.2.1"),
    ],
)
def test_behind_a_proxy_the_client_is_who_our_proxy_says(settings, behind, forwarded, address):
    settings.BEHIND_PROXY = behind
    request = RequestFactory().get("/", REMOTE_ADDR="192.0.2.1", headers={"X-Forwarded-For": forwarded})
    assert throttle.address_of(request) == address
    assert get_adapter(request).get_client_ip(request) == address
