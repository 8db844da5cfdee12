"""Who may do what at the desk: every route for the signed-out, Ben, Cy and Ada, forged forms, and costs."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from papers import moderation, proposals
from papers.models import Change
from tests.desk import make_edited
from tests.making import bib_entry, make_entry, make_paper, make_technique

SIGN_IN, NOT_THEIRS, NOT_HERE, SHOWN = "sign in", 403, 404, 200


@pytest.fixture
def technique(db):
    return make_technique()


@pytest.mark.parametrize(
    ("method", "address", "anonymous", "ben_may", "cy_may", "ada_may"),
    [
        ("get", "/submit", SHOWN, SHOWN, SHOWN, SHOWN),
        ("get", "/submissions", SIGN_IN, SHOWN, SHOWN, SHOWN),
        ("get", "/submissions/{submission}", SIGN_IN, SHOWN, NOT_HERE, SHOWN),
        ("get", "/submissions/{submission}.bib", SIGN_IN, SHOWN, NOT_HERE, SHOWN),
        ("get", "/submissions/987654321", SIGN_IN, NOT_HERE, NOT_HERE, NOT_HERE),
        ("get", "/moderation", SIGN_IN, NOT_THEIRS, NOT_THEIRS, SHOWN),
        ("get", "/moderation/{entry}", SIGN_IN, NOT_THEIRS, NOT_THEIRS, SHOWN),
        ("post", "/moderation/{entry}", SIGN_IN, NOT_THEIRS, NOT_THEIRS, 400),
        ("get", "/moderation/987654321", SIGN_IN, NOT_THEIRS, NOT_THEIRS, NOT_HERE),
        ("get", "/moderation/bulk", SIGN_IN, NOT_THEIRS, NOT_THEIRS, 302),
        ("post", "/moderation/bulk", SIGN_IN, NOT_THEIRS, NOT_THEIRS, 400),
        ("get", "/papers/{paper}/merge", SIGN_IN, NOT_THEIRS, NOT_THEIRS, SHOWN),
        ("post", "/papers/{paper}/merge", SIGN_IN, NOT_THEIRS, NOT_THEIRS, 400),
        ("get", "/papers/{paper}/claims/propose", SHOWN, SHOWN, SHOWN, SHOWN),
        ("post", "/papers/{paper}/claims/propose", 400, 400, 400, 400),
        ("get", "/proposals", SIGN_IN, SHOWN, SHOWN, SHOWN),
        ("get", "/proposals/{proposal}", SIGN_IN, SHOWN, NOT_HERE, SHOWN),
        ("post", "/proposals/{proposal}", SIGN_IN, NOT_THEIRS, NOT_HERE, 400),
        ("get", "/account/letters", SIGN_IN, SHOWN, SHOWN, SHOWN),
        ("get", "/feeds/decisions.atom", SHOWN, SHOWN, SHOWN, SHOWN),
        ("get", "/changes", SHOWN, SHOWN, SHOWN, SHOWN),
        ("get", "/changes/{change}/undo", SIGN_IN, NOT_THEIRS, NOT_THEIRS, SHOWN),
        ("post", "/changes/{change}/undo", SIGN_IN, NOT_THEIRS, NOT_THEIRS, 409),
        ("delete", "/submit", 405, 405, 405, 405),
        ("post", "/changes", 405, 405, 405, 405),
    ],
)
def test_who_may_do_what(
    client, ben, cy, ada, technique, method, address, anonymous, ben_may, cy_may, ada_may
):
    paper = make_edited(ada, technique)
    entry = make_entry(ben, bib_entry(title="Of Ben"))
    claim = {"metric": "speedup_x", "value": 2.0, "locator": "Table 1"}
    proposal = proposals.propose(paper, claim, who=ben, why="It says so")
    ids = {
        "paper": paper.key,
        "proposal": proposal.pk,
        "entry": entry.pk,
        "submission": entry.submission_id,
        "change": Change.objects.first().pk,
    }
    address = address.format(**ids)
    answers = []
    for user in (None, ben, cy, ada):
        client.logout() if user is None else client.force_login(user)
        answer = getattr(client, method)(address)
        login = f"{reverse('account_login')}?next={address}"
        answers.append(SIGN_IN if answer.headers.get("Location") == login else answer.status_code)
    assert answers == [anonymous, ben_may, cy_may, ada_may]


def test_only_a_moderator_sees_the_undo_button(client, ben, ada, technique):
    make_edited(ada, technique)
    for user, buttons in ((ben, 0), (ada, 2)):
        client.force_login(user)
        assert client.get("/changes").content.decode().count("Undo this change") == buttons


@pytest.mark.parametrize("address", ["/submit", "/moderation/1", "/changes/1/undo"])
def test_forms_from_elsewhere_are_refused(ada, address):
    elsewhere = Client(enforce_csrf_checks=True)
    elsewhere.force_login(ada)
    assert elsewhere.post(address, {"text": bib_entry(), "why": "x"}).status_code == 403


def make_row(ada, number):
    """One more of everything: a submission with a twin, a new and a rejected entry, a paper and its changes."""
    paper = make_paper([("doi", f"10.1234/{number}")])
    twin, new = bib_entry(title=f"Twin {number}", doi=f"10.1234/{number}"), bib_entry(title=f"New {number}")
    submission = make_entry(ada, twin + new + bib_entry(title=f"Poor {number}")).submission
    moderation.reject(submission.entries.get(position=3), who=ada, reason="Poor")
    moderation.edit(paper, {"year": 2020}, who=ada, why="Older")
    return submission


@pytest.mark.parametrize(
    "address",
    ["/submissions", "/moderation", "/moderation?show=rejected", "/changes"],
)
def test_longer_lists_cost_no_more_queries(client, ada, technique, address):
    make_row(ada, 1)
    client.force_login(ada)
    client.get(address)
    with CaptureQueriesContext(connection) as few:
        client.get(address)
    for number in (2, 3):
        make_row(ada, number)
    with CaptureQueriesContext(connection) as many:
        client.get(address)
    assert len(many) == len(few)


def test_a_longer_submission_costs_no_more_queries(client, ben, technique):
    client.force_login(ben)
    costs = []
    for numbers in ([1], [2, 3, 4]):
        for number in numbers:
            make_paper([("doi", f"10.1234/{number}")], [technique])
        text = "".join(bib_entry(title=f"Twin {n}", doi=f"10.1234/{n}") for n in numbers)
        address = make_entry(ben, text).submission.get_absolute_url()
        with CaptureQueriesContext(connection) as queries:
            client.get(address)
        costs.append(len(queries))
    assert costs[0] == costs[1]
