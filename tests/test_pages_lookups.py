"""Pages of what came of asking other sites: updates, saved queries, what was tried, links of a paper."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from explorer import views_lookups
from papers import updates
from papers.models import Change, Entry, Link, Lookup, SavedQuery
from tests.desk import text_of
from tests.making import make_entry, make_paper, make_technique


@pytest.fixture
def update(db):
    paper = make_paper([("arxiv", "2401.00001")], [make_technique()], title="Adding Up Less", venue="arXiv")
    values = {"identifiers": [["doi", "10.5555/sums.1"]], "venue": "ICXX"}
    return updates.propose(paper, values, "Crossref has it.")


@pytest.fixture
def operator(cy):
    cy.groups.add(Group.objects.get_or_create(name="operators")[0])
    return cy


@pytest.mark.parametrize(
    ("address", "anonymous", "reader", "operator_may", "moderator"),
    [
        ("/updates", 302, 403, 403, 200),
        ("/updates/{}", 302, 403, 403, 200),
        ("/saved-queries", 302, 403, 200, 200),
        ("/saved-queries/{}", 302, 403, 200, 200),
    ],
)
def test_who_may_see_what(
    client, ben, operator, ada, update, address, anonymous, reader, operator_may, moderator
):
    query = SavedQuery.objects.create(text="cat:cs.LG")
    address = address.format(update.pk if "updates" in address else query.pk)
    for user, expected in ((None, anonymous), (ben, reader), (operator, operator_may), (ada, moderator)):
        client.logout() if user is None else client.force_login(user)
        assert [client.get(address).status_code, client.post(address).status_code] == [
            expected,
            expected if expected != 200 else 400 if address != "/updates" else 405,
        ]


def test_an_update_stands_beside_what_is_here_and_is_accepted(client, ada, update):
    client.force_login(ada)
    page = text_of(client.get("/updates"))
    assert "Identifiers not here doi:10.5555/sums.1" in page and "Venue arXiv ICXX" in page
    assert "Refreshing is turned off on this site" in page
    client.post(f"/updates/{update.pk}", {"action": "accept", "why": ""})
    change = Change.objects.get(action="edit")
    assert (change.who, change.why, change.after["venue"]) == (ada, "Crossref has it.", "ICXX")
    assert "accepted by ada" in text_of(client.get("/updates?show=accepted"))


def test_declining_needs_a_reason_and_keeps_what_was_typed(client, ada, update):
    client.force_login(ada)
    page = client.post(f"/updates/{update.pk}", {"action": "decline", "why": " "})
    assert (page.status_code, "Give the reason" in text_of(page)) == (409, True)
    client.post(f"/updates/{update.pk}", {"action": "decline", "why": "Not the same"})
    late = client.post(f"/updates/{update.pk}", {"action": "accept", "why": "x"})
    assert (late.status_code, "Already declined by ada" in text_of(late)) == (409, True)


def test_saved_queries_are_added_changed_and_turned_off(client, ada):
    technique = make_technique()
    client.force_login(ada)
    typed = {"text": "cat:cs.LG", "technique": technique.pk, "on": "on"}
    assert client.post("/saved-queries", typed).status_code == 302
    twice = client.post("/saved-queries", typed)
    assert (twice.status_code, "already exists" in text_of(twice)) == (400, True)
    query = SavedQuery.objects.get()
    assert (query.text, query.technique, query.on, query.changed_by) == ("cat:cs.LG", technique, True, ada)
    client.post(f"/saved-queries/{query.pk}", {"text": "cat:cs.CL"})
    query.refresh_from_db()
    assert (query.text, query.technique, query.on) == ("cat:cs.CL", None, False)
    assert "Watching arXiv is turned off" in text_of(client.get("/saved-queries"))
    assert client.post("/saved-queries", {"text": "a\0b"}).status_code == 400


def test_lists_cost_the_same_however_long(client, ada, update):
    client.force_login(ada)
    costs = {"/updates": [], "/saved-queries": [], "/moderation": []}
    for number in range(3):
        updates.propose(make_paper(), {"venue": "ICXX"}, "Crossref has it.")
        SavedQuery.objects.create(text=f"cat:{number}", technique=make_technique(), changed_by=ada)
        make_incomplete(number)
        for address, found in costs.items():
            client.get(address)
            with CaptureQueriesContext(connection) as queries:
                client.get(address)
            found.append(len(queries))
    assert all(found[1] == found[2] for found in costs.values()), costs


def make_incomplete(number=1, who=None, **row):
    entry = make_entry(who)
    fields = {"identifiers": [["doi", f"10.5555/{number}"]]}
    Entry.objects.filter(pk=entry.pk).update(found="incomplete", fields=fields, reason="Lacks a title.")
    given = {"attempts": 2, "fault": "Crossref is busy (status 429).", "tried": timezone.now()} | row
    Lookup.objects.create(source="crossref", scheme="doi", value=f"10.5555/{number}", **given)
    return entry


def test_who_sent_an_entry_reads_what_was_tried(client, ben, settings):
    address = make_incomplete(who=ben).submission.get_absolute_url()
    client.force_login(ben)
    page = text_of(client.get(address))
    assert "Crossref, about doi:10.5555/1: tried 2 times, last" in page
    assert "Looking up is turned off on this site" in page
    settings.LOOKUPS = replace(settings.LOOKUPS, lookup=True)
    page = text_of(client.get(address))
    assert "Crossref is busy (status 429). Due again" in page and "turned off" not in page


def test_what_was_given_up_is_looked_up_again_when_asked(client, ben, cy, settings, monkeypatch):
    monkeypatch.setattr(views_lookups, "AN_HOUR", 3)
    submission = make_incomplete(who=ben, state="failed").submission
    address = f"/submissions/{submission.pk}/1/look-up"
    client.force_login(cy)
    assert client.post(address).status_code == 404
    client.force_login(ben)
    assert "Looking up is turned off" in text_of(client.post(address, follow=True))
    assert Lookup.objects.get().state == "failed"
    settings.LOOKUPS = replace(settings.LOOKUPS, lookup=True)
    assert "Look up again" in text_of(client.get(submission.get_absolute_url()))
    assert "It will be looked up again soon" in text_of(client.post(address, follow=True))
    assert (Lookup.objects.get().state, Lookup.objects.get().attempts) == ("waiting", 0)
    assert "Look up again" not in text_of(client.get(submission.get_absolute_url()))
    assert [client.post(address).status_code for _ in range(2)] == [302, 429]


def test_a_paper_says_when_its_links_were_last_verified(client, db):
    paper = make_paper(url="https://example.org/a", code_url="https://example.org/b")
    assert "not checked: this site does not look at links" in text_of(client.get(paper.get_absolute_url()))
    then = datetime(2026, 5, 3, tzinfo=UTC)
    Link.objects.create(address=paper.url, state="works", verified=then, checked=then)
    Link.objects.create(
        address=paper.code_url, state="broken", fault="The site answered with status 404.", checked=then
    )
    page = text_of(client.get(paper.get_absolute_url()))
    assert "https://example.org/a last verified 3 May 2026" in page
    assert "https://example.org/b broken link looked at 3 May 2026" in page
