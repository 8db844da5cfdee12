"""What the clock does with other sites: preprints that got published, new papers of saved queries, dead links."""

import time
from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from papers import links, moderation, tasks, updates, watching
from papers.facts import Facts
from papers.models import Entry, Link, Lookup, Paper, SavedQuery, Sighting, Submission, Turn, Update
from papers.moderation import Refused
from papers.sources import SOURCES
from tests.lookup_server import serving
from tests.making import make_paper, make_technique


@pytest.fixture(scope="module")
def server():
    with serving() as sites:
        yield sites


@pytest.fixture
def sites(db, server, settings, monkeypatch):
    server.answers.clear()
    server.asked.clear()
    settings.LOOKUPS = server.settings(
        settings.LOOKUPS, refresh_metadata=True, check_links=True, watch_arxiv=True
    )
    for name, source in SOURCES.items():
        monkeypatch.setitem(SOURCES, name, replace(source, pause_s=0))
    return server


@pytest.fixture
def preprint(db):
    given = {"title": "Adding Up Less", "venue": "arXiv", "kind": "misc"}
    return make_paper([("arxiv", "2401.00001")], [make_technique()], **given)


def go_round(times=3):
    for _ in range(times):
        tasks.errands()


def test_a_preprint_that_got_published_gains_its_doi_and_venue_when_a_moderator_agrees(sites, ada, preprint):
    sites.lay("/api/query", "arxiv.xml")
    sites.lay("/works/10.5555%2Fsums.1", "crossref.json")
    go_round()
    (update,) = Update.objects.all()
    assert update.before == {"identifiers": [], "venue": "arXiv", "kind": "misc"}
    assert update.after == {
        "identifiers": [["doi", "10.5555/sums.1"]],
        "venue": "Journal of Sums & Products",
        "kind": "article",
    }
    assert update.source == (
        "arXiv gives arXiv:2401.00001 the DOI 10.5555/sums.1; Crossref has the same title under it."
    )
    change = updates.accept(update, who=ada, why="")
    facts = Facts.of(Paper.objects.get())
    assert (facts.venue, facts.kind) == ("Journal of Sums & Products", "article")
    assert facts.identifiers == [["arxiv", "2401.00001"], ["doi", "10.5555/sums.1"]]
    moderation.undo(change, who=ada, why="Another paper after all")
    assert Facts.of(Paper.objects.get()).identifiers == [["arxiv", "2401.00001"]]


def test_the_same_is_not_proposed_twice_and_not_after_it_was_declined(sites, ada, preprint):
    sites.lay("/api/query", "arxiv.xml")
    sites.lay("/works/10.5555%2Fsums.1", "crossref.json")
    go_round()
    updates.decline(Update.objects.get(), who=ada, reason="A different paper")
    Lookup.objects.update(tried=timezone.now() - timedelta(days=40))
    asked = len(sites.asked)
    go_round()
    assert len(sites.asked) == asked + 2
    assert Update.objects.count() == 1


def test_openalex_may_know_what_arxiv_does_not_and_a_doi_alone_is_worth_something(sites):
    make_paper([("arxiv", "2401.00002")], title="Adding Up Nothing", venue="arXiv")
    sites.lay("/api/query", "arxiv.xml")
    sites.lay("/works/doi:10.48550", "openalex.json")
    go_round(5)
    (update,) = Update.objects.all()
    assert update.after == {"identifiers": [["doi", "10.5555/sums.2"]]}
    assert update.source.startswith("OpenAlex gives arXiv:2401.00002 the DOI 10.5555/sums.2; ")
    record = Facts(title="Adding Up Nothing", venue="Transactions on Sums", kind="article")
    fuller = updates.published(update.paper, "10.5555/sums.2", record, "Crossref")
    assert list(Update.objects.all()) == [fuller]


def test_an_update_is_decided_once_and_never_over_a_later_change(ada, cy, preprint):
    made = updates.propose(preprint, {"venue": "ICXX", "year": 2024}, "Somebody says so.")
    assert made.after == {"venue": "ICXX"}
    with pytest.raises(Refused, match="Only a moderator"):
        updates.accept(made, who=cy, why="")
    moderation.edit(preprint, {"venue": "NIPXX"}, who=ada, why="Seen in print")
    with pytest.raises(Refused, match="venue was changed since"):
        updates.accept(made, who=ada, why="")
    with pytest.raises(Refused, match="Give the reason"):
        updates.decline(made, who=ada, reason=" ")
    updates.decline(made, who=ada, reason="It is NIPXX")
    with pytest.raises(Refused, match="Already declined by ada"):
        updates.accept(made, who=ada, why="")
    preprint.refresh_from_db()
    assert updates.propose(preprint, {"venue": "NIPXX"}, "Nothing differs.") is None


def test_a_saved_query_sends_in_what_is_new_once(sites, ada, preprint):
    sites.lay("/api/query?search_query=cat%3Acs.LG", "arxiv.xml")
    query = SavedQuery.objects.create(text="cat:cs.LG", technique=make_technique())
    watching.watch()
    (submission,) = Submission.objects.all()
    assert (submission.submitted_by, submission.note) == (
        None,
        "Found by the saved query “cat:cs.LG” on arXiv.",
    )
    (entry,) = Entry.objects.all()  # the other one is here already
    assert (entry.found, entry.fields["title"], entry.fields["techniques"]) == (
        "new",
        "Adding Up Nothing",
        ["sparse-sums"],
    )
    assert entry.fields["identifiers"] == [["arxiv", "2401.00002"]]
    moderation.reject(entry, who=ada, reason="Off topic")
    submission.delete()
    watching.watch()  # not due
    SavedQuery.objects.update(next_try=timezone.now())
    watching.watch()
    assert (len(sites.asked), Entry.objects.count(), Sighting.objects.count()) == (2, 0, 1)
    query.refresh_from_db()
    assert query.fault == "" and query.next_try > timezone.now() + timedelta(hours=23)


@pytest.mark.parametrize(
    ("laid", "fault"),
    [
        ({"body": "arxiv_fault.xml"}, "It said: malformed query."),
        ({"status": 429}, "arXiv is busy (status 429)."),
    ],
)
def test_a_query_that_fails_says_so_and_is_asked_again_later(sites, laid, fault):
    sites.lay("/api/query", **laid)
    query = SavedQuery.objects.create(text="cat:")
    watching.watch()
    query.refresh_from_db()
    assert query.fault == fault
    assert timedelta(hours=1) < query.next_try - timezone.now() <= timedelta(hours=2)


def test_links_are_looked_at_and_dead_ones_marked(sites):
    here, gone, closed = (f"{sites.address}/{name}" for name in ("here", "gone", "closed"))
    make_paper(url=here, code_url=gone)
    make_paper(url=closed, code_url=here)
    make_paper(url="http://169.254.169.254/latest")
    sites.lay("/here", status=302, Location="/there")
    sites.lay("/there", b"x" * 10_000)
    sites.lay("/closed", status=403)
    tasks.errands()
    states = {link.address: (link.state, link.fault, bool(link.verified)) for link in Link.objects.all()}
    assert states == {
        here: ("works", "", True),
        gone: ("broken", "The site answered with status 404.", False),
        closed: ("closed", "The site answered with status 403.", False),
        "http://169.254.169.254/latest": (
            "broken",
            "169.254.169.254 leads to an address that is not public, and was not asked.",
            False,
        ),
    }
    assert "HEAD /there" in sites.asked and "GET /there" not in sites.asked
    asked = len(sites.asked)
    tasks.errands()
    assert len(sites.asked) == asked


def test_a_link_that_is_silent_is_broken_after_three_times_and_forgotten_with_its_paper(sites):
    paper = make_paper(url=f"{sites.address}/silent")
    sites.lay("/silent", status=500)
    states = []
    for _ in range(3):
        links.check_links(time.monotonic() + 5)
        states.append(Link.objects.get().state)
        Link.objects.update(next_try=timezone.now())
    assert states == ["silent", "silent", "broken"]
    sites.lay("/silent", b"back")
    links.check_links(time.monotonic() + 5)
    assert (Link.objects.get().state, Link.objects.get().misses) == ("works", 0)
    paper.delete()
    Turn.objects.update(free_at=timezone.now())
    links.check_links(time.monotonic() + 5)
    assert Link.objects.count() == 0


def test_one_round_at_a_time_and_nothing_while_all_is_off(sites, settings, preprint):
    SavedQuery.objects.create(text="cat:cs.LG")
    Paper.objects.update(url=f"{sites.address}/here")
    off = replace(settings.LOOKUPS, refresh_metadata=False, check_links=False, watch_arxiv=False)
    on, settings.LOOKUPS = settings.LOOKUPS, off
    tasks.errands()
    Turn.objects.filter(name="errands").update(free_at=timezone.now() + timedelta(seconds=60))
    settings.LOOKUPS = on
    tasks.errands()
    assert (sites.asked, Link.objects.count(), Lookup.objects.count()) == ([], 0, 0)
