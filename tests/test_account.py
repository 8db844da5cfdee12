"""One's own account: all that is kept of it, and leaving for good."""

import json
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth import get_user_model
from django.contrib.sessions.models import Session
from django.db import IntegrityError, connection, transaction
from django.test import Client

from explorer import leaving, tokens
from papers import moderation, roles
from papers.models import Change
from reproduce import contributions, lifecycle
from reproduce.models import RunEvent
from tests.conftest import make_user
from tests.desk import text_of
from tests.making import bib_entry, make_entry, make_paper
from tests.making_bundles import make_bundle, make_flash
from tests.making_runs import make_run

WORD = {"password": "ben-password"}


def make_traces(ben):
    """Something of Ben's of every kind, and a client of his."""
    client = Client()
    client.force_login(ben)
    EmailAddress.objects.create(user=ben, email="ben@example.org", primary=True, verified=True)
    SocialAccount.objects.create(user=ben, provider="orcid", uid="0000-0001", extra_data={"name": "Ben B."})
    tokens.issue(ben, "my laptop")
    ben.first_name, ben.last_name = "Benjamin", "Bee"
    ben.save()
    make_entry(ben, bib_entry(title="Of Ben"))
    run = make_run(requested_by=ben)
    lifecycle.request_cancel(run, who="ben")
    return client


def test_the_page_shows_who_one_is_here_and_how_one_signs_in(ben):
    page = text_of(make_traces(ben).get("/account"))
    assert "ben@example.org" in page
    assert "Send in references, claims and bundles, and follow their fate." in page
    assert "API tokens 1." in page


def test_all_that_is_kept_comes_along_and_no_secret(ben, cy):
    client = make_traces(ben)
    make_entry(cy, bib_entry(title="Of Cy"))
    raw = b"".join(client.get("/account/data.json").streaming_content).decode()
    kept = json.loads(raw)
    assert kept["account"]["email"] == "ben@example.org"
    assert kept["account"]["roles"] == ["reader", "submitter"]
    assert "Of Ben" in kept["papers.submission.submitted_by"][0]["text"]
    assert kept["papers.entry.submission"][0]["decision"] == "pending"
    assert [token["name"] for token in kept["explorer.apitoken.user"]] == ["my laptop"]
    assert [run["recipe"] for run in kept["reproduce.run.requested_by"]] == ["flashattention-io"]
    assert "Of Cy" not in raw
    assert ben.api_tokens.get().digest not in raw and ben.password not in raw


def test_who_leaves_is_erased_and_what_they_gave_stays(ben, ada):
    client, laptop = make_traces(ben), Client()
    laptop.force_login(ben)
    make_flash()
    moderation.edit(paper := make_paper(), {"year": 2020}, who=ada, why="Older")
    run = contributions.accept(contributions.offer(make_bundle(), who=ben), who=ada, why="Thanks to ben")
    roles.give(ben, "moderator", who=None, why="Knows the field")
    moderation.edit(paper, {"year": 2021}, who=ben, why="Newer")
    left = client.post("/account/leave", WORD)
    assert left["Location"] == "/"

    name = get_user_model().objects.get(pk=ben.pk).username
    assert name.startswith("former user ") and name in text_of(client.get("/"))
    assert ben.submissions.count() == 1
    assert Change.objects.get(why="Newer").who.username == name
    said = set(RunEvent.objects.values_list("who", "why"))
    assert (name, f"cancelled by {name} before it started") in said
    assert ("ada", f"contributed by {name}: Thanks to ben") in said  # Ada's own words stay hers
    assert run.events.count() == 1
    dump = json.dumps(list(get_user_model().objects.filter(pk=ben.pk).values()), default=str)
    assert not [word for word in ("ben", "Ben", "Bee", "example.org") if word in dump]
    for model, field in leaving.personal():
        assert not model.objects.filter(**{field.name: ben}).exists(), model
    kinds = {model.__name__ for model, _ in leaving.personal()}
    assert kinds >= {"ApiToken", "EmailAddress", "SocialAccount", "User_groups"}
    assert not [s for s in Session.objects.all() if s.get_decoded().get("_auth_user_id") == str(ben.pk)]
    for browser in (client, laptop):
        assert browser.get("/account")["Location"].startswith("/account/login/")
    assert not client.login(username="ben", password="ben-password")
    assert make_user("ben").pk != ben.pk  # the name is free


@pytest.mark.parametrize("typed", [{}, {"password": "wrong"}])
def test_nothing_is_deleted_without_the_password(client, ben, typed):
    client.force_login(ben)
    assert client.post("/account/leave", typed).status_code == 400
    ben.refresh_from_db()
    assert ben.username == "ben" and ben.is_active


def test_who_has_no_password_types_the_name(client, ben):
    ben.set_unusable_password()
    ben.save()
    client.force_login(ben)
    assert client.post("/account/leave", {"name": "Ben"}).status_code == 400
    assert client.post("/account/leave", {"name": "ben"}).status_code == 302


def test_the_only_operator_stays_until_there_is_another(client, ben, cy):
    roles.give(ben, "operator", who=None, why="Runs the pool")
    client.force_login(ben)
    assert "Give somebody else that role first" in text_of(client.post("/account/leave", WORD))
    roles.give(cy, "operator", who=ben, why="Takes over")
    assert client.post("/account/leave", WORD).status_code == 302


def test_a_request_that_began_before_writes_nobody_back(ben):
    name = leaving.leave(ben)
    ben.set_password("another")
    ben.save()  # loaded before, saved whole after: as a change of the password does
    ben.refresh_from_db()
    assert (ben.username, ben.email, ben.is_active) == (name, "", False)
    with pytest.raises(IntegrityError, match="has been deleted"), transaction.atomic():
        tokens.issue(ben, "late")
    assert leaving.leave(ben) == name


@pytest.mark.django_db(transaction=True)
def test_a_token_made_while_the_account_is_deleted_does_not_stay():
    ben, start = make_user("ben"), Barrier(2)

    def both(what):
        start.wait()
        try:
            what()
        except IntegrityError:
            pass
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(both, [lambda: tokens.issue(ben, "late"), lambda: leaving.leave(ben)]))
    assert not ben.api_tokens.exists()
