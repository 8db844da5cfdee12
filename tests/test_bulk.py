"""Many entries at once: the dry run tells the truth and changes nothing; one that is refused holds up no other."""

import threading

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection

from explorer import bulk
from papers import intake, moderation
from papers.models import Change, Entry, Paper, Submission
from tests.desk import text_of
from tests.making import bib_entry, make_entry, make_paper, make_technique

pytestmark = pytest.mark.django_db


@pytest.fixture
def entries(ben):
    """Two that are new, a twin of the first, and one that is already here."""
    make_paper([("doi", "10.1234/here")], [make_technique()], title="Known Already", key="known2024already")
    titles = (
        {"title": "One"},
        {"title": "Two"},
        {"title": "One!"},
        {"title": "Known", "doi": "10.1234/here"},
    )
    text = "".join(bib_entry(keywords="sparse-sums", **each) for each in titles)
    return list(intake.submit(text, who=ben).entries.order_by("position"))


def post(client, entries, action, **typed):
    ticked = [entry.pk for entry in entries]
    return client.post("/moderation/bulk", {"entry": ticked, "action": action, **typed})


def results(page):
    return [(each.title, each.done, each.said) for each in page.context["outcomes"]]


def test_the_dry_run_says_what_would_happen_and_changes_nothing(client, ada, entries):
    client.force_login(ada)
    page = post(client, entries, "accept")
    twin = "It is already here as “One” (same title and first author); merge it with that paper."
    here = "It is already here as “Known Already” (same DOI, 10.1234/here); merge it with that paper."
    told = [
        ("One", True, "a new paper, invented2024one, under Sparse Sums"),
        ("Two", True, "a new paper, invented2024two, under Sparse Sums"),
        ("One!", False, twin),
        ("Known", False, here),
    ]
    assert results(page) == told
    assert "Nothing has been changed yet. To accept 2 of 4 entries" in text_of(page)
    assert (Change.objects.count(), Paper.objects.count()) == (0, 1)
    assert set(Entry.objects.values_list("decision", flat=True)) == {"pending"}

    assert results(post(client, entries, "accept", confirmed="1")) == told
    assert [entry.decision for entry in Entry.objects.order_by("position")] == [
        *("accepted", "accepted", "pending", "pending"),
    ]
    merged = post(client, entries, "merge", confirmed="1")
    assert [done for _, done, _ in results(merged)] == [False, False, True, True]
    assert results(merged)[0][2].startswith("Already accepted by ada on")
    assert (
        results(merged)[3][2]
        == "into “Known Already” (same DOI, 10.1234/here); has nothing that the paper lacks"
    )


def test_a_possible_duplicate_is_not_accepted_among_many(ada, ben):
    title = "Adding Rare Numbers Sparsely and Fast"
    make_paper([("doi", "10.1234/here")], [make_technique()], title=title)
    text = bib_entry(keywords="sparse-sums", title=title.replace("Rare", "Rrae"))
    (entry,) = intake.submit(text, who=ben).entries.all()
    assert entry.found == "possible"
    (outcome,) = bulk.carry_out([entry], "accept", who=ada, techniques=[], why="")
    assert not outcome.done
    assert outcome.said.startswith(f"It may be “{title}” (")
    assert outcome.said.endswith("decide on it by itself.")


def test_all_that_match_the_filter_are_rejected_with_one_reason(client, ada, entries, cy):
    other = make_entry(cy, title="One of Cy")
    client.force_login(ada)
    address = "/moderation/bulk?by=ben&q=One"
    page = client.post(address, {"action": "reject", "all": "1"})
    assert page.status_code == 400
    assert "Give the reason; the submitters will read it." in text_of(page)
    page = client.post(address, {"action": "reject", "all": "1", "why": "Spam", "confirmed": "1"})
    assert [title for title, done, _ in results(page) if done] == ["One", "One!"]
    assert Entry.objects.filter(decision="rejected", decision_reason="Spam").count() == 2
    other.refresh_from_db()
    assert other.decision == "pending"


def test_what_cannot_be_done_at_once_says_why_and_keeps_what_was_typed(client, ada, entries):
    client.force_login(ada)
    page = post(client, [], "accept", why="Good ones")
    assert (page.status_code, "Tick at least one entry." in text_of(page)) == (400, True)
    assert ">Good ones</textarea>" in page.content.decode()
    for strange in ("x", "²", "9" * 30, "\0"):
        assert client.post("/moderation/bulk", {"entry": strange, "action": "accept"}).status_code == 400
    assert post(client, entries, "delete").status_code == 400


def test_two_moderators_at_once_decide_each_entry_once(transactional_db):
    make_technique()
    group, _ = Group.objects.get_or_create(name="moderators")
    moderators = [User.objects.create(username=name) for name in ("ada", "adam")]
    group.user_set.set(moderators)
    text = "".join(
        bib_entry(title=title, author=f"{title}, A.") for title in ("Eins", "Zwei", "Drei", "Vier")
    )
    sent = list(intake.submit(text, who=moderators[0]).entries.all())
    outcomes, gate = {}, threading.Barrier(2)

    def act(who, action):
        gate.wait()
        outcomes[action] = bulk.carry_out(sent, action, who=who, techniques=["sparse-sums"], why="So")
        connection.close()

    pairs = zip(moderators, ("accept", "reject"), strict=True)
    threads = [threading.Thread(target=act, args=pair) for pair in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done, others = (
        {name: {each.entry.pk for each in some if each.done is yes} for name, some in outcomes.items()}
        for yes in (True, False)
    )
    assert done["accept"] == others["reject"]
    assert done["reject"] == others["accept"]
    assert done["accept"] | done["reject"] == {entry.pk for entry in sent}
    refused = [each.said for some in outcomes.values() for each in some if not each.done]
    assert all(said.startswith(("Already accepted by", "Already rejected by")) for said in refused)
    assert Change.objects.count() == 4


def test_the_queue_is_narrowed_by_what_is_in_the_address(client, ada, ben, cy):
    make_paper([("doi", "10.1234/here")], [make_technique()])
    make_entry(ben, title="Old Pruning", year="2019")
    make_entry(cy, title="New Pruning")
    make_entry(ben, title="Known", doi="10.1234/here")
    moderation.reject(make_entry(ben, title="Poor Pruning"), who=ada, reason="Poor")
    Submission.objects.filter(entries__fields__title="Old Pruning").update(created="2026-01-01T00:00Z")
    client.force_login(ada)

    def found(query):
        return [line.facts.title for line in client.get(f"/moderation?{query}").context["lines"]]

    assert found("q=pruning") == ["Old Pruning", "New Pruning"]
    assert found("by=cy") == ["New Pruning"]
    assert found("found=known") == ["Known"]
    assert found("year=2019") == found("age=over-month") == ["Old Pruning"]
    assert found("show=rejected&q=pruning") == ["Poor Pruning"]
    page = client.get("/moderation?q=pruning")
    assert (page.context["counts"]["waiting"], page.context["counts"]["rejected"]) == (2, 1)
    bad = client.get("/moderation?year=soon&age=never")
    assert (bad.status_code, len(bad.context["filter"].errors)) == (400, 2)


def test_a_decision_leads_back_to_the_queue_as_it_was_narrowed(client, ada, entries):
    client.force_login(ada)
    done = client.post(f"/moderation/{entries[0].pk}?q=One&page=1", {"action": "reject", "why": "So"})
    assert done.url == "/moderation?q=One&page=1"
