"""Moderation: the queue, and each decision on an entry with all that can go wrong."""

import pytest

from papers import intake, moderation
from papers.models import Change, Entry, FormerKey, Paper
from tests.desk import text_of
from tests.making import bib_entry, make_entry, make_paper, make_technique


@pytest.fixture
def technique(db):
    return make_technique()


@pytest.fixture
def paper(technique):
    return make_paper([("arxiv", "2401.00001")], [technique], key="known2024already", title="Known Already")


def decide(client, entry, action, **typed):
    return client.post(f"/moderation/{entry.pk}", {"action": action, **typed})


def test_the_queue_is_oldest_first_by_submission(client, ada, ben, cy, technique):
    first = intake.submit(bib_entry(title="One") + bib_entry(title="Two"), who=ben)
    second = intake.submit(bib_entry(title="Three") + "@misc{x,}\n", who=cy)
    client.force_login(ada)
    page = client.get("/moderation")
    shown = [(line.entry.submission_id, line.facts.title) for line in page.context["lines"]]
    assert shown == [(first.pk, "One"), (first.pk, "Two"), (second.pk, "Three")]
    assert page.context["counts"] == {"waiting": 3, "invalid": 1, "accepted": 0, "merged": 0, "rejected": 0}
    invalid = client.get("/moderation?show=invalid")
    assert [line.entry.position for line in invalid.context["lines"]] == [2]


def test_accepting_puts_the_paper_in_the_list(client, ada, ben, technique):
    entry = make_entry(ben)
    client.force_login(ada)
    done = decide(client, entry, "accept", techniques=[technique.slug], why="On topic")
    paper = Paper.objects.get()
    assert done.url == "/moderation"
    assert (paper.title, list(paper.techniques.all())) == ("Adding Up Less", [technique])
    assert Change.objects.get().why == "On topic"
    assert "Accepted: “Adding Up Less” is in the list." in text_of(client.get(done.url))


def test_keywords_are_ticked_beforehand(client, ada, ben, technique):
    make_entry(ben, bib_entry(keywords=technique.slug))
    client.force_login(ada)
    assert client.get("/moderation").context["lines"][0].form.ticked == [technique.slug]


def test_accepting_without_a_technique_is_refused_and_keeps_what_was_typed(client, ada, ben, technique):
    client.force_login(ada)
    page = decide(client, make_entry(ben), "accept", why="Good one")
    assert page.status_code == 409
    assert "Choose at least one technique" in text_of(page)
    assert ">Good one</textarea>" in page.content.decode()


def test_the_queue_offers_the_paper_that_is_here_by_now(client, ada, ben, technique):
    entry = make_entry(ben, bib_entry(title="Late Twin", doi="10.1234/twin"))
    assert entry.found == "new"
    twin = make_paper([("doi", "10.1234/twin")], title="Late Twin")
    client.force_login(ada)
    line = client.get("/moderation").context["lines"][0]
    assert (line.paper, line.why) == (twin, "same DOI, 10.1234/twin")


@pytest.mark.parametrize(
    "typed",
    ["known2024already", "arXiv:2401.00001v3", "http://testserver/papers/known2024already", "old2023name"],
)
def test_merging_adds_what_the_paper_lacks(client, ada, ben, paper, typed):
    FormerKey.objects.create(key="old2023name", paper=paper)
    entry = make_entry(ben, bib_entry(title="Known Already", eprint="2401.00001", abstract="We add."))
    client.force_login(ada)
    assert [(row.label, row.new) for row in client.get("/moderation").context["lines"][0].adds] == [
        ("Venue", "arXiv"),
        ("Abstract", "We add."),
    ]
    decide(client, entry, "merge", paper=typed)
    paper.refresh_from_db()
    entry.refresh_from_db()
    assert (paper.abstract, entry.decision, entry.paper) == ("We add.", "merged", paper)


def test_merging_into_nothing_says_so_and_keeps_what_was_typed(client, ada, ben, technique):
    client.force_login(ada)
    page = decide(client, make_entry(ben), "merge", paper="nobody1999nothing")
    assert (page.status_code, page.context["line"].form["paper"].value()) == (400, "nobody1999nothing")
    assert "No paper here is named “nobody1999nothing”. Give its key, arXiv id, DOI or address." in text_of(
        page
    )


def test_rejecting_needs_a_reason(client, ada, ben, technique):
    entry = make_entry(ben)
    client.force_login(ada)
    page = decide(client, entry, "reject", why=" ")
    assert page.status_code == 409
    assert "Give the reason; the submitter will read it." in text_of(page)
    decide(client, entry, "reject", why="Twice here")
    entry.refresh_from_db()
    assert (entry.decision, entry.decision_reason, entry.decided_by) == ("rejected", "Twice here", ada)


def test_a_rejected_entry_is_reopened(client, ada, ben, technique):
    entry = make_entry(ben)
    moderation.reject(entry, who=ada, reason="By mistake")
    client.force_login(ada)
    assert [line.entry for line in client.get("/moderation?show=rejected").context["lines"]] == [entry]
    decide(client, entry, "reopen", why="It was a mistake")
    entry.refresh_from_db()
    assert entry.decision == "pending"


def test_the_second_moderator_is_told_who_decided_and_what(client, ada, cy, ben, technique):
    entry = make_entry(ben)
    cy.is_superuser = True
    cy.save()
    moderation.accept(entry, who=cy, techniques=[technique])
    client.force_login(ada)
    page = decide(client, entry, "reject", why="I do not like it")
    assert page.status_code == 409
    assert "Already accepted by cy on" in text_of(page)
    assert "accepted by cy" in text_of(client.get(f"/moderation/{entry.pk}"))
    assert Entry.objects.get().decision == "accepted"


def test_an_unknown_action_changes_nothing(client, ada, ben, technique):
    entry = make_entry(ben)
    client.force_login(ada)
    assert decide(client, entry, "delete").status_code == 400
    assert Entry.objects.get().decision == "pending"


def test_htmx_gets_the_entry_alone(client, ada, ben, technique):
    entry = make_entry(ben)
    client.force_login(ada)
    page = client.post(
        f"/moderation/{entry.pk}", {"action": "reject", "why": "Twice"}, headers={"HX-Request": "true"}
    )
    assert page.status_code == 200
    assert page.content.decode().strip().startswith("<article")
    assert "rejected by ada" in text_of(page)


def test_what_htmx_shows_after_a_refusal_stays_open(client, ada, ben, technique):
    """A name would make it exclusive with its predecessor, which is still in the page while htmx swaps."""
    entry = make_entry(ben)
    client.force_login(ada)
    page = client.post(f"/moderation/{entry.pk}", {"action": "accept"}, headers={"HX-Request": "true"})
    assert page.status_code == 200
    assert page.content.decode().count("<details open>") == 1
    assert '<details name="' not in page.content.decode()
