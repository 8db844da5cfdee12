"""API tokens: made and seen once, kept as a hash, worth nothing once revoked."""

import hashlib
from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIRequestFactory

from explorer import tokens
from tests.making_programs import make_program, told

PAGE = "/account/tokens"


def make_on_page(client, user, name="my laptop"):
    client.force_login(user)
    response = client.post(PAGE, {"name": name})
    return response, response.context["made"]


def test_a_token_is_made_shown_once_and_kept_as_a_hash(client, ben):
    response, token = make_on_page(client, ben)
    stored = ben.api_tokens.get()
    assert (response.status_code, response["Cache-Control"]) == (
        200,
        "max-age=0, no-cache, no-store, must-revalidate, private",
    )
    assert token.startswith("spectrum_")
    assert len(token) == len("spectrum_") + 43
    assert (stored.name, stored.digest) == ("my laptop", hashlib.sha256(token.encode()).hexdigest())
    assert response.content.decode().count(token) == 2
    assert token not in client.get(PAGE).content.decode()


def test_a_token_opens_the_api_in_the_name_of_who_made_it(client, ben, cy):
    _, token = make_on_page(client, ben)
    program = make_program()
    program.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    sent = program.post("/api/submissions", {"text": "@misc{a, title={T}, author={A, B}, year={2024}}"})
    assert sent.status_code == 201
    assert ben.submissions.count() == 1
    assert cy.submissions.count() == 0


def test_a_revoked_token_opens_nothing(client, ben):
    _, token = make_on_page(client, ben)
    client.post(f"{PAGE}/{ben.api_tokens.get().pk}/revoke")
    program = make_program()
    program.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    response = program.get("/api/papers")
    assert told(response) == (401, "authentication_failed", {})
    assert response["WWW-Authenticate"] == 'Bearer realm="Spectrum"'


def test_nobody_revokes_the_token_of_another(client, ben, cy):
    make_on_page(client, ben)
    client.force_login(cy)
    client.post(f"{PAGE}/{ben.api_tokens.get().pk}/revoke")
    assert ben.api_tokens.count() == 1


def test_the_list_shows_only_ones_own_tokens(client, ben, cy):
    make_on_page(client, ben)
    client.force_login(cy)
    assert list(client.get(PAGE).context["tokens"]) == []


def test_the_signed_out_are_asked_to_sign_in(client, db):
    assert client.get(PAGE)["Location"] == "/account/login/?next=/account/tokens"
    assert client.post(f"{PAGE}/1/revoke")["Location"].startswith("/account/login/")


def test_a_get_revokes_nothing(client, ben):
    make_on_page(client, ben)
    assert client.get(f"{PAGE}/{ben.api_tokens.get().pk}/revoke")["Location"] == PAGE
    assert ben.api_tokens.count() == 1


def test_the_form_refuses_a_token_without_a_name(client, ben):
    client.force_login(ben)
    response = client.post(PAGE, {"name": " "})
    assert (response.status_code, response.context["form"].errors) == (
        400,
        {"name": ["This field is required."]},
    )
    assert ben.api_tokens.count() == 0


def test_nobody_hoards_tokens(client, ben):
    for number in range(tokens.MOST_PER_USER):
        tokens.issue(ben, f"number {number}")
    response, made = make_on_page(client, ben)
    assert (response.status_code, made) == (400, None)
    assert response.context["form"].errors["__all__"] == [
        "You have 20 tokens already; revoke one that you no longer use."
    ]


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer ", "Bearer x", "Bearer spectrum_" + "a" * 43, "bearer \xff\xfe"]
)
def test_what_is_no_token_is_refused(db, header):
    program = make_program()
    program.credentials(HTTP_AUTHORIZATION=header)
    assert told(program.get("/api/papers")) == (401, "authentication_failed", {})


def test_the_token_of_a_closed_account_is_refused(ben):
    program = make_program(ben)
    type(ben).objects.update(is_active=False)
    assert told(program.get("/api/papers")) == (401, "authentication_failed", {})


def test_its_last_use_is_noted_at_most_once_a_minute(ben):
    program = make_program(ben)
    program.get("/api/papers")
    first = ben.api_tokens.get().last_used
    assert timezone.now() - first < timedelta(minutes=1)
    program.get("/api/papers")
    assert ben.api_tokens.get().last_used == first
    ben.api_tokens.update(last_used=first - timedelta(minutes=2))
    program.get("/api/papers")
    assert ben.api_tokens.get().last_used >= first


def test_the_same_work_is_done_for_a_good_token_and_a_bad_one(ben, django_assert_num_queries):
    good, bad = tokens.issue(ben, "good"), "no token"
    authenticate = tokens.TokenAuthentication().authenticate
    authenticate(request_with(good))  # notes its use, which is due but once a minute
    with django_assert_num_queries(1):
        assert authenticate(request_with(good))[0] == ben
    with django_assert_num_queries(1), pytest.raises(tokens.AuthenticationFailed):
        authenticate(request_with(bad))


def request_with(token):
    return APIRequestFactory().get("/api/papers", headers={"Authorization": f"Bearer {token}"})
