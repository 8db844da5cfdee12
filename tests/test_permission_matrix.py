"""Who may do what, at every address of the site: whoever adds a route adds its line here, or this fails."""

import logging
from http.cookies import SimpleCookie

import pytest
from django.db import transaction
from django.test import Client
from django.urls import get_resolver

from explorer import tokens
from papers import moderation, roles
from reproduce import contributions
from reproduce.models import Batch, Schedule
from tests.conftest import make_user
from tests.making import make_entry, make_paper, make_technique
from tests.making_bundles import SLUG, make_bundle, make_flash
from tests.making_runs import make_run, make_worker

# Signed out · Rex, who may only read · Ben, whose everything is · Cy, another submitter · Ada, a moderator ·
# Olive, an operator. "in": sent to sign in. "on": sent to another page. One word stands for all six.
OPEN = "200"
SIGNED_IN, SENT_ON, IN_API = "in 200 200 200 200 200", "in on on on on on", "401 200 200 200 200 200"
SUBMITTERS, API_SUBMITTERS = "in 403 400 400 400 400", "401 403 400 400 400 400"
BENS, BENS_TO_DECIDE = "in 404 200 404 200 404", "404 404 200 404 200 404"
MODERATORS = "in 403 403 403 200 403"
CANCEL = "in 403 on 403 403 on"
WITHOUT = "405"
SIGNED_IN_WITHOUT, API_WITHOUT = "in 405 405 405 405 405", "401 405 405 405 405 405"
ENTRANCE = "200 on on on on on"

# route: (an address of it, what a GET answers, what a POST with nothing in it answers)
MATRIX = {
    # allauth's
    "account/login/": ("", ENTRANCE, ENTRANCE),
    "account/signup/": ("", ENTRANCE, ENTRANCE),
    "account/password/reset/": ("", OPEN, OPEN),
    "account/logout/": ("", "on 200 200 200 200 200", "on"),
    "account/inactive/": ("", OPEN, WITHOUT),
    "account/reauthenticate/": ("", SIGNED_IN, SIGNED_IN),
    "account/email/": ("", SIGNED_IN, SENT_ON),
    "account/confirm-email/": ("", OPEN, WITHOUT),
    "account/password/change/": ("", SIGNED_IN, SIGNED_IN),
    "account/password/set/": ("", SENT_ON, SENT_ON),
    "account/login/code/confirm/": ("", "on", "on"),
    r"account/^confirm-email/(?P<key>[-:\w]+)/$": ("account/confirm-email/no-key/", OPEN, "404"),
    "account/password/reset/key/done/": ("", OPEN, WITHOUT),
    "account/^password/reset/key/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$": (
        "account/password/reset/key/1-no-key/", OPEN, OPEN
    ),
    "account/password/reset/done/": ("", OPEN, WITHOUT),
    "account/3rdparty/login/cancelled/": ("", OPEN, WITHOUT),
    "account/3rdparty/login/error/": ("", "401", WITHOUT),
    "account/3rdparty/signup/": ("", "on", "on"),
    "account/3rdparty/": ("", SIGNED_IN, SIGNED_IN),
    "account/social/login/cancelled/": ("", "on", "on"),
    "account/social/login/error/": ("", "on", "on"),
    "account/social/signup/": ("", "on", "on"),
    "account/social/connections/": ("", "on", "on"),
    # One's own account, and roles
    "account": ("", SIGNED_IN, SIGNED_IN_WITHOUT),
    "account/data.json": ("", SIGNED_IN, SIGNED_IN_WITHOUT),
    "account/leave": ("", SIGNED_IN, "in 400 400 400 400 400"),
    "account/tokens": ("", SIGNED_IN, "in 400 400 400 400 400"),
    "account/tokens/<int:token_id>/revoke": ("account/tokens/{token}/revoke", SENT_ON, SENT_ON),
    "roles": ("", OPEN, "in 403 403 403 403 400"),
    # The literature
    "": ("", OPEN, WITHOUT),
    "about": ("", OPEN, WITHOUT),
    "healthz": ("", OPEN, WITHOUT),
    "papers": ("", OPEN, WITHOUT),
    "papers/<slug:key>": ("papers/{paper}", OPEN, WITHOUT),
    "techniques": ("", OPEN, WITHOUT),
    "techniques.csv": ("", OPEN, WITHOUT),
    "techniques/<slug:slug>": ("techniques/sparse-sums", OPEN, WITHOUT),
    "^(?P<scheme>arxiv|doi|openreview|acl)/(?P<value>.+)$": ("arxiv/2205.14135", "on", WITHOUT),
    "papers.<extension:form>": ("papers.bib", OPEN, WITHOUT),
    "papers/<slug:key>.<extension:form>": ("papers/{paper}.bib", OPEN, WITHOUT),
    "robots.txt": ("", OPEN, WITHOUT),
    "sitemap.xml": ("", OPEN, OPEN),
    "sitemap-<section>.xml": ("sitemap-papers.xml", OPEN, OPEN),
    "oai": ("", OPEN, OPEN),
    "charts": ("", WITHOUT, "400"),
    "compare": ("", OPEN, WITHOUT),
    "compare.csv": ("", "400", WITHOUT),
    # The desk
    "submit": ("", "200 403 200 200 200 200", "400 403 400 400 400 400"),
    "submissions": ("", SIGNED_IN, SIGNED_IN_WITHOUT),
    "submissions/<int:submission_id>": ("submissions/{submission}", BENS, SIGNED_IN_WITHOUT),
    "submissions/<int:submission_id>.bib": ("submissions/{submission}.bib", BENS, SIGNED_IN_WITHOUT),
    "moderation": ("", MODERATORS, "in 403 403 403 405 403"),
    "moderation/<int:entry_id>": ("moderation/{entry}", MODERATORS, "in 403 403 403 400 403"),
    "submissions/<int:submission_id>/<int:position>": ("submissions/{submission}/1", BENS, "in 404 400 404 400 404"),
    "submissions/<int:submission_id>/<int:position>/look-up": (
        "submissions/{submission}/1/look-up", SIGNED_IN_WITHOUT, "in 403 on 404 on 404"
    ),
    "updates": ("", MODERATORS, "in 403 403 403 405 403"),
    "updates/<int:update_id>": ("updates/987654", "in 403 403 403 404 403", "in 403 403 403 404 403"),
    "saved-queries": ("", "in 403 403 403 200 200", "in 403 403 403 400 400"),
    "saved-queries/<int:query_id>": (
        "saved-queries/987654", "in 403 403 403 404 404", "in 403 403 403 404 404"
    ),
    "moderation/bulk": ("", "in 403 403 403 on 403", "in 403 403 403 400 403"),
    "papers/<slug:key>/merge": ("papers/{paper}/merge", MODERATORS, "in 403 403 403 400 403"),
    "papers/<slug:key>/claims/propose": (
        "papers/{paper}/claims/propose", "200 403 200 200 200 200", "400 403 400 400 400 400"
    ),
    "proposals": ("", SIGNED_IN, SIGNED_IN_WITHOUT),
    "proposals/<int:proposal_id>": ("proposals/987654", "in 404 404 404 404 404", "in 404 404 404 404 404"),
    "feeds/decisions.atom": ("", OPEN, WITHOUT),
    "feeds/<str:token>.atom": ("feeds/no-token.atom", "404", WITHOUT),
    "account/letters": ("", SIGNED_IN, SENT_ON),
    "letters/<str:token>/stop": ("letters/no-token/stop", "404", "404"),
    "changes": ("", OPEN, WITHOUT),
    "changes/<int:change_id>/undo": ("changes/{change}/undo", MODERATORS, "in 403 403 403 409 403"),
    # The pool
    "recipes": ("", OPEN, WITHOUT),
    "recipes.csv": ("", OPEN, WITHOUT),
    "recipes/<slug:slug>": ("recipes/lora-memory", OPEN, WITHOUT),
    "recipes/<slug:slug>/run": ("recipes/lora-memory/run", "on", SUBMITTERS),
    "runs": ("", OPEN, WITHOUT),
    "runs/<int:pk>": ("runs/{run}", OPEN, WITHOUT),
    "runs/<int:pk>/events": ("runs/{run}/events", "404", WITHOUT),
    "runs/<int:pk>/live": ("runs/{run}/live", OPEN, WITHOUT),
    "runs/<int:pk>/log": ("runs/{run}/log", OPEN, WITHOUT),
    "runs/<int:pk>/cancel": ("runs/{run}/cancel", "on", CANCEL),
    "runs/<int:pk>/bundle.json": ("runs/{run}/bundle.json", "404", WITHOUT),
    "runs/<int:pk>/samples.csv": ("runs/{run}/samples.csv", "404", WITHOUT),
    "runs/contribute": ("", "200 403 200 200 200 200", SUBMITTERS),
    "contributions": ("", SIGNED_IN, SIGNED_IN_WITHOUT),
    "contributions/<int:contribution_id>": (
        "contributions/{contribution}", BENS_TO_DECIDE, "404 404 403 404 400 404"
    ),
    "contributions/<int:contribution_id>/bundle.json": (
        "contributions/{contribution}/bundle.json", BENS_TO_DECIDE, WITHOUT
    ),
    "workers": ("", OPEN, WITHOUT),
    "workers/<int:pk>/orders": ("workers/{worker}/orders", "on", "in 403 403 403 403 404"),
    "batches": ("", OPEN, SUBMITTERS),
    "batches/<int:pk>": ("batches/{batch}", OPEN, WITHOUT),
    "batches/<int:pk>/live": ("batches/{batch}/live", OPEN, WITHOUT),
    "batches/<int:pk>/cancel": ("batches/{batch}/cancel", "on", CANCEL),
    "schedules": ("", "on", "in 403 403 403 403 on"),
    "schedules/<int:pk>/stop": ("schedules/{schedule}/stop", "on", "in 403 403 403 403 on"),
    # The API
    "api/": ("", OPEN, WITHOUT),
    "api/docs": ("", OPEN, WITHOUT),
    "api/schema": ("", OPEN, WITHOUT),
    "api/papers": ("", OPEN, WITHOUT),
    "api/papers/<slug:key>": ("api/papers/{paper}", OPEN, WITHOUT),
    "api/techniques": ("", OPEN, WITHOUT),
    "api/claims": ("", OPEN, WITHOUT),
    "api/compare": ("", "400", WITHOUT),
    "api/recipes": ("", OPEN, WITHOUT),
    "api/recipes/<slug:slug>": ("api/recipes/lora-memory", OPEN, WITHOUT),
    "api/runs": ("", OPEN, API_SUBMITTERS),
    "api/runs/<int:run_id>": ("api/runs/{run}", OPEN, WITHOUT),
    "api/runs/<int:run_id>/log": ("api/runs/{run}/log", OPEN, WITHOUT),
    "api/runs/<int:run_id>/cancel": ("api/runs/{run}/cancel", WITHOUT, "401 403 200 403 403 200"),
    "api/runs/<int:run_id>/bundle": ("api/runs/{run}/bundle", "404", WITHOUT),
    "api/runs/<int:run_id>/samples": ("api/runs/{run}/samples", "404", WITHOUT),
    "api/contributions": ("", IN_API, "401 403 415 415 415 415"),
    "api/contributions/<int:contribution_id>": ("api/contributions/{contribution}", BENS_TO_DECIDE, WITHOUT),
    "api/workers": ("", OPEN, WITHOUT),
    "api/workers/<int:worker_id>/orders": ("api/workers/{worker}/orders", WITHOUT, "401 403 403 403 403 400"),
    "api/batches": ("", OPEN, API_SUBMITTERS),
    "api/batches/<int:batch_id>": ("api/batches/{batch}", OPEN, WITHOUT),
    "api/batches/<int:batch_id>/cancel": ("api/batches/{batch}/cancel", WITHOUT, "401 403 409 403 403 409"),
    "api/submissions": ("", IN_API, API_SUBMITTERS),
    "api/submissions/<int:submission_id>": (
        "api/submissions/{submission}", "401 404 200 404 200 404", API_WITHOUT
    ),
    "api/proposals": ("", IN_API, API_SUBMITTERS),
    "api/(?P<rest>.*)": ("api/nowhere", "404", "401 404 404 404 404 404"),
}  # fmt: skip
READS_WHATEVER_THE_METHOD = {
    "sitemap.xml",
    "sitemap-<section>.xml",
    "account/^password/reset/key/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$",  # says that the key is none
}


def routes(patterns, before=""):
    for pattern in patterns:
        route = before + str(pattern.pattern)
        yield from routes(pattern.url_patterns, route) if hasattr(pattern, "url_patterns") else [route]


def make_world():
    """Rex, Ben, Cy, Ada and Olive, and the ids of what is Ben's."""
    rex, ben, _, ada, olive = cast = [make_user(name) for name in ("rex", "ben", "cy", "ada", "olive")]
    roles.give(ada, "moderator", who=None, why="Knows the field")
    roles.give(olive, "operator", who=None, why="Runs the pool")
    roles.take(rex, "submitter", who=olive, why="Sent in nothing but advertisements")
    make_flash(), make_technique()
    paper = make_paper()
    moderation.edit(paper, {"year": 2020}, who=ada, why="It is older")
    tokens.issue(ben, "a test")
    entry = make_entry(ben)
    return cast, {
        "paper": paper.key,
        "change": paper.changes.get().pk,
        "entry": entry.pk,
        "submission": entry.submission_id,
        "contribution": contributions.offer(make_bundle(), who=ben).pk,
        "run": make_run(requested_by=ben).pk,
        "batch": Batch.objects.create(title="Three runs", asked_by=ben).pk,
        "token": ben.api_tokens.get().pk,
        "worker": make_worker().pk,
        "schedule": Schedule.objects.create(recipe=SLUG, preset="smoke", made_by=olive).pk,
    }


def make_clients(cast):
    for user in (None, *cast):
        client = Client(raise_request_exception=False)
        if user:
            client.force_login(user)
        client.kept = client.cookies.output(header="").strip()
        yield client


def answer(client, method, address):
    """What a request answers, in a word. A POST leaves no trace, so that their order does not matter."""
    if method == "post":
        sent = {"data": "{}", "content_type": "application/json"} if address.startswith("/api/") else {}
        with transaction.atomic():
            response = client.post(address, **sent)
            transaction.set_rollback(True)
        client.cookies = SimpleCookie(client.kept)
    else:
        response = getattr(client, method)(address)
    to = response.headers.get("Location", "")
    return "in" if to.startswith("/account/login/?next=") else "on" if to else str(response.status_code)


@pytest.fixture
def only_permissions(monkeypatch, settings, two_recipes):
    """Who may what is settled before a page is drawn, so none is; sessions and counts cost no query."""
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    monkeypatch.setattr("django.template.backends.django.Template.render", lambda *_, **__: "")
    monkeypatch.setattr("drf_spectacular.generators.SchemaGenerator.get_schema", lambda *_, **__: {})
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


def test_every_route_has_a_line():
    assert set(routes(get_resolver().url_patterns)) ^ set(MATRIX) == set()


def test_everybody_may_what_is_theirs_and_nothing_else(db, only_permissions):
    cast, ids = make_world()
    clients, wrong = list(make_clients(cast)), {}
    for route, (address, *expected) in MATRIX.items():
        address = f"/{(address or route).format(**ids)}"
        for method, line in zip(("get", "post"), expected, strict=True):
            words = line.split() if " " in line else [line] * len(clients)
            answers = [answer(client, method, address) for client in clients]
            if answers != words:
                wrong[f"{method} {address}"] = f"{' '.join(answers)}, not {' '.join(words)}"
        if route not in READS_WHATEVER_THE_METHOD:
            done = [answer(client, "delete", address) for client in clients[:1] + clients[-2:]]
            if {"200", "204", "500"} & set(done):
                wrong[f"delete {address}"] = " ".join(done)
    assert wrong == {}
