"""Contributions as JSON: sending one in, the reasons for which it is refused, and who sees it."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from reproduce import contributions
from reproduce.models import Contribution
from tests.making_bundles import DEVICE, SLUG, make_bundle, make_flash
from tests.making_programs import make_program, told

pytestmark = pytest.mark.django_db
ADDRESS = "/api/contributions"


@pytest.fixture
def flash(db):
    return make_flash()


def send(user, raw, **more):
    upload = SimpleUploadedFile("bundle.json", raw, "application/json")
    return make_program(user).post(ADDRESS, {"bundle": upload, **more}, format="multipart")


def test_a_program_sends_a_bundle_and_follows_it(flash, ben, ada):
    response = send(ben, make_bundle(), note="In a cold room")
    sent = response.json()
    assert response.status_code == 201
    assert Contribution.objects.get().note == "In a cold room"
    assert [sent[name] for name in ("page", "recipe", "device_name", "sent_by", "decision", "run", "history")] == [
        f"/contributions/{sent['id']}", SLUG, DEVICE, "ben", "pending", None, [],
    ]  # fmt: skip
    assert next(row["verdict"] for row in sent["measurements"] if row["headline"]) == "reproduced"
    run = contributions.accept(Contribution.objects.get(), who=ada, why="Plausible")
    now = make_program().get(f"{ADDRESS}/{sent['id']}").json()
    assert (now["decision"], now["run"], now["reason"], now["decided_by"]) == (
        "accepted",
        run.pk,
        "Plausible",
        "ada",
    )
    assert [(line["who"], line["action"], line["why"]) for line in now["history"]] == [
        ("ada", "accept", "Plausible")
    ]


def test_a_bundle_larger_than_a_request_may_hold_in_memory_is_taken(flash, ben, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    assert send(ben, make_bundle()).status_code == 201


def test_the_session_of_a_browser_sends_one_too(client, flash, ben):
    client.force_login(ben)
    upload = SimpleUploadedFile("bundle.json", make_bundle(), "application/json")
    assert client.post(ADDRESS, {"bundle": upload}).status_code == 201


def test_without_a_token_nothing_is_taken(flash):
    assert told(send(None, make_bundle()))[:2] == (401, "not_authenticated")
    assert told(make_program().get(ADDRESS))[:2] == (401, "not_authenticated")


@pytest.mark.parametrize(
    ("raw", "more", "field"),
    [
        (b"{}", {}, "bundle"),
        (b"", {}, "bundle"),
        (b"{}", {"note": "x" * 2001}, "note"),
        (b"{}", {"who": "me"}, "who"),
    ],
)
def test_a_wrong_request_is_told_by_its_field(flash, ben, raw, more, field):
    status, code, fields = told(send(ben, raw, **more))
    assert (status, code, list(fields)) == (400, "invalid", [field])
    assert not Contribution.objects.exists()


def test_a_missing_file_is_told(flash, ben):
    response = make_program(ben).post(ADDRESS, {"note": "Forgot it"}, format="multipart")
    assert told(response) == (400, "invalid", {"bundle": ["No file was submitted."]})
    as_text = make_program(ben).post(ADDRESS, {"bundle": "a text"}, format="multipart")
    assert told(as_text)[:2] == (400, "invalid")


def test_json_is_told_how_to_come_as_a_file(flash, ben):
    response = make_program(ben).post(ADDRESS, {"bundle": "{}"})
    assert told(response)[:2] == (415, "unsupported_media_type")
    assert "curl -F bundle=@bundle.json" in response.json()["error"]["remedy"]


def test_sent_again_it_is_a_conflict_that_says_where_it_stands(flash, ben, cy):
    first = send(ben, make_bundle()).json()
    mine, theirs = send(ben, make_bundle()), send(cy, make_bundle())
    assert (told(mine), told(theirs)) == ((409, "already_here", {}),) * 2
    assert f"GET /api/contributions/{first['id']} shows" in mine.json()["error"]["remedy"]
    assert str(first["id"]) not in theirs.json()["error"]["remedy"]


def test_beyond_twenty_an_hour_one_is_told_to_wait(flash, ben):
    program = make_program(ben)
    for number in range(21):
        upload = SimpleUploadedFile("bundle.json", b"{}", "application/json")
        response = program.post(ADDRESS, {"bundle": upload}, format="multipart")
        assert told(response)[0] == (400 if number < 20 else 429)


def test_others_see_it_once_it_is_accepted(flash, ben, cy, ada):
    sent = send(ben, make_bundle()).json()
    seen = [make_program(user).get(f"{ADDRESS}/{sent['id']}").status_code for user in (ben, ada, cy, None)]
    assert seen == [200, 200, 404, 404]
    assert [make_program(user).get(ADDRESS).json()["count"] for user in (ben, ada, cy)] == [1, 1, 0]
    assert make_program(ada).get(f"{ADDRESS}?decision=rejected").json()["count"] == 0
    assert told(make_program(ada).get(f"{ADDRESS}?decision=perhaps"))[0] == 400
