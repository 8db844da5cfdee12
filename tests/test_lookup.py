"""Look-ups: entries get their metadata, each source in its turn, and whatever goes wrong stays on the row."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from datetime import timedelta

import pytest
from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.utils import timezone

from config.lookups import from_environment
from papers import lookup, pacing, tasks
from papers.facts import Facts
from papers.models import Entry, Lookup, Turn
from papers.sources import SOURCES
from papers.sources.asking import ask
from tests.lookup_server import serving
from tests.making import make_entry

ARXIV, DOI = ["arxiv", "2401.00001"], ["doi", "10.5555/sums.1"]


@pytest.fixture(scope="module")
def server():
    with serving() as sites:
        yield sites


@pytest.fixture
def sites(db, server, settings, monkeypatch):
    server.answers.clear()
    server.asked.clear()
    settings.LOOKUPS = server.settings(settings.LOOKUPS, lookup=True)
    for name, source in SOURCES.items():
        monkeypatch.setitem(SOURCES, name, replace(source, pause_s=0))
    return server


def make_incomplete(*identifiers):
    entry = make_entry()
    fields = Facts(identifiers=list(identifiers)).to_json()
    Entry.objects.filter(pk=entry.pk).update(found="incomplete", fields=fields, reason="Lacks a title.")
    return Entry.objects.get(pk=entry.pk)


def soon():
    """Every waiting question is due now."""
    Lookup.objects.filter(state="waiting").update(next_try=timezone.now())
    Turn.objects.update(free_at=timezone.now())


def states():
    return list(Lookup.objects.order_by("pk").values_list("source", "value", "state"))


def test_entries_get_their_metadata_in_one_request(sites):
    sites.lay("/api/query", "arxiv.xml")
    one, two = make_incomplete(ARXIV), make_incomplete(["arxiv", "2401.00002"])
    tasks.errands()
    one.refresh_from_db()
    two.refresh_from_db()
    assert (one.found, one.fields["title"], one.fields["sources"]) == (
        "new",
        "Adding Up Less",
        ["arXiv API, 2401.00001"],
    )
    assert (two.found, two.fields["authors"]) == ("new", "Collaboration, The Sums and Made, Max")
    assert one.fields["identifiers"] == [ARXIV, DOI]
    assert one.fields["notes"][0].startswith("Completed from arXiv, asked on ")
    assert sites.asked == ["GET /api/query?id_list=2401.00001,2401.00002&max_results=2"]
    make_incomplete(ARXIV)
    tasks.errands()  # the kept answer is enough
    assert (len(sites.asked), Entry.objects.filter(found="incomplete").count()) == (1, 0)


def test_nothing_is_asked_unless_it_is_turned_on(sites, settings):
    settings.LOOKUPS = replace(settings.LOOKUPS, lookup=False)
    make_incomplete(ARXIV)
    tasks.errands()
    assert (sites.asked, Lookup.objects.count()) == ([], 0)


def test_who_asks_must_say_who_they_are():
    assert from_environment({}).schedule == {}
    with pytest.raises(ImproperlyConfigured, match="LOOKUP_CONTACT is not set"):
        from_environment({"LOOKUP": "1"})
    on = from_environment(
        {"CHECK_LINKS": "1", "LOOKUP_CONTACT": "desk@example.org", "OPENALEX_KEY": "hidden"}
    )
    assert (on.lookup, on.check_links, list(on.schedule)) == (False, True, ["errands"])
    assert "hidden" not in repr(on)


def test_the_next_source_is_asked_when_one_knows_nothing(sites):
    entry = make_incomplete(["doi", "10.5555/sums.2"])
    sites.lay("/works/doi:", "openalex.json")
    tasks.errands()
    entry.refresh_from_db()
    assert (entry.found, entry.fields["title"]) == ("new", "Adding Up Nothing")
    assert states() == [("crossref", "10.5555/sums.2", "nothing"), ("openalex", "10.5555/sums.2", "found")]
    assert sites.asked[0] == "GET /works/10.5555%2Fsums.2?mailto=desk%40example.org"


def test_nobody_knows_it_and_it_still_waits_to_be_filled_by_hand(sites):
    entry = make_incomplete(DOI)
    tasks.errands()
    soon()
    tasks.errands()
    assert [state for _, _, state in states()] == ["nothing", "nothing"]
    assert (len(sites.asked), Entry.objects.get(pk=entry.pk).found) == (2, "incomplete")
    assert [row.fault for row in lookup.tried([entry])[entry.pk]] == [
        "Crossref knows nothing of it.",
        "OpenAlex knows nothing of it.",
    ]


@pytest.mark.parametrize(
    ("laid", "fault"),
    [
        ({"status": 429, "Retry_After": "7200"}, "Crossref is busy (status 429)."),
        ({"status": 500}, "Crossref is busy (status 500)."),
        ({"status": 418}, "Crossref answered with status 418."),
        ({"Slow": True}, "127.0.0.1 did not answer within 0.2 s."),
        (
            {"body": b'{"status": "ok", "mess'},
            "Its answer is not in the form that it documents (JSONDecodeError).",
        ),
        (
            {"body": b"<html>", "Content_Length": "600"},
            "The connection to 127.0.0.1 failed: peer closed connection",
        ),
    ],
)
def test_a_fault_is_kept_on_the_row_and_tried_again_later(sites, settings, laid, fault):
    settings.LOOKUPS = replace(settings.LOOKUPS, timeout_s=0.2)
    entry = make_incomplete(DOI)
    sites.lay("/works/", **laid)
    tasks.errands()
    tasks.errands()
    (row,) = Lookup.objects.all()
    assert (len(sites.asked), row.state, row.attempts) == (1, "waiting", 1)
    assert row.fault.startswith(fault)
    wait = 7200 if laid.get("status") == 429 else 60
    assert abs((row.next_try - row.tried).total_seconds() - wait) < 1
    assert Entry.objects.get(pk=entry.pk).found == "incomplete"


def test_trying_ends_and_a_later_entry_may_have_it_asked_anew(sites):
    make_incomplete(DOI)
    sites.lay("/works/", status=503)
    for _ in range(12):
        tasks.errands()
        soon()
    assert [state for _, _, state in states()] == ["failed", "failed"]
    assert len(sites.asked) == 2 * lookup.MOST_ATTEMPTS
    Lookup.objects.update(tried=timezone.now() - timedelta(days=2))
    sites.lay("/works/", "crossref.json")
    entry = make_incomplete(DOI)
    tasks.errands()
    entry.refresh_from_db()
    assert (entry.found, entry.fields["venue"]) == ("new", "Journal of Sums & Products")


def test_one_bad_id_sinks_no_other(sites):
    """A batch that failed is asked again in smaller ones."""
    for number in range(1, 15):
        make_incomplete(["arxiv", f"2401.{number:05}"])
    sites.lay("/api/query", b"<feed>")
    for _ in range(2):
        tasks.errands()
        soon()
    sizes = [path.count("2401.") for path in sites.asked]
    assert sizes == [14, 12, 2]


def test_everybody_waits_when_a_source_says_so(sites):
    sites.lay("/works/", status=429, Retry_After="30")
    lookup.want([DOI, ["doi", "10.5555/other"]])
    lookup.ask_due(time.monotonic() + 5)
    assert len(sites.asked) == 1
    with pytest.raises(pacing.NotYet, match="not yet time"):
        ask(SOURCES["crossref"], "/works/x")
    assert (
        timedelta(seconds=25)
        < Turn.objects.get(name="crossref").free_at - timezone.now()
        < timedelta(seconds=31)
    )


@pytest.mark.django_db(transaction=True)
def test_two_processes_share_a_turn():
    """Another process, with connections of its own, has neither the turn nor the pause after it."""
    address = connection.settings_dict
    environ = os.environ | {"DATABASE_URL": f"postgresql:///{address['NAME']}?host={address['HOST']}"}
    environ["DATABASE_URL"] = environ["DATABASE_URL"].replace("///", f"//{address['USER']}@/")
    environ |= {"SECRET_KEY": "x" * 50, "BROKER_URL": "redis://nobody"}
    asks = (
        "import django; django.setup()\n"
        "from papers import pacing\n"
        "while True:\n"
        "    input()\n"
        "    try:\n"
        "        with pacing.turn('arxiv', pause_s=3, at_most_s=9): print('mine', flush=True)\n"
        "    except pacing.NotYet: print('not yet', flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", asks],
        env=environ, cwd=django_settings.BASE_DIR, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip

    def other():
        process.stdin.write("\n")
        process.stdin.flush()
        return process.stdout.readline().strip()

    try:
        with pacing.turn("arxiv", pause_s=3, at_most_s=9):
            assert other() == "not yet"  # while it is held
        assert other() == "not yet"  # and in the pause after it
        Turn.objects.update(free_at=timezone.now())
        assert other() == "mine"
        with pytest.raises(pacing.NotYet), pacing.turn("arxiv", pause_s=3, at_most_s=9):
            pass
    finally:
        process.kill()
        process.wait()


@pytest.mark.django_db
def test_a_day_has_only_so_many_turns():
    for _ in range(2):
        with pacing.turn("openalex", pause_s=0, at_most_s=9, per_day=2):
            pass
    with (
        pytest.raises(pacing.NotYet, match="asked 2 times today"),
        pacing.turn("openalex", pause_s=0, at_most_s=9, per_day=2),
    ):
        pass
    Turn.objects.update(day=1)
    with pacing.turn("openalex", pause_s=0, at_most_s=9, per_day=2):
        pass


@pytest.mark.django_db
def test_who_lost_its_turn_does_not_end_the_next_one():
    with pacing.turn("arxiv", pause_s=60, at_most_s=0), pacing.turn("arxiv", pause_s=0, at_most_s=9):
        pass
    assert Turn.objects.get().free_at < timezone.now() + timedelta(seconds=1)
