"""The index against a brute-force twin: whatever was written, by whomever, the next search finds and counts it."""

import random
import threading

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.http import QueryDict

from explorer import freshness, tasks
from explorer.models import Base, Touched
from explorer.search import Search
from papers.models import AXES, Paper, Technique
from reproduce.models import Measurement
from tests.making import make_claim, make_paper, make_technique
from tests.making_runs import make_measurement, make_run

WORDS = [
    "sparse",
    "dense",
    "attention",
    "cache",
    "memory",
    "Łukasz",
    "naïve",
    "kv-cache",
    "pruning",
    "quantised",
]
DONE = {"status": "done", "finished": "2026-01-02T03:04:05Z"}


@pytest.fixture(autouse=True)
def fresh_process():
    """As if this test were the first request of a process."""
    freshness._shared.clear()
    yield
    freshness._shared.clear()


def search(query=""):
    found = Search(QueryDict(query))
    assert found.is_valid(), found.errors
    return found


def keys(query=""):
    return {paper.key for paper in search(query).every()}


class Field:
    """Random changes to a small world of papers, and what a search over it must say."""

    def __init__(self, seed):
        self.chosen, self.number = random.Random(seed), 0
        self.techniques = [
            make_technique(slug=f"way-{axis}", name=f"Way {axis}", axis=axis, position=n)
            for n, axis in enumerate(AXES)
        ]

    def add(self, _=None):
        self.number += 1
        return make_paper(
            key=f"paper{self.number:03}",
            title=" ".join(self.chosen.choices(WORDS, k=3)),
            abstract=" ".join(self.chosen.choices(WORDS, k=4)),
            year=self.chosen.randint(2019, 2022),
            month=self.chosen.choice([None, 1, 7]),
            venue=self.chosen.choice(["", "ICLR", "NeurIPS"]),
            techniques=self.chosen.sample(self.techniques, self.chosen.randint(0, 2)),
        )

    def change(self):
        """One random change through the ORM, or past it in plain SQL."""
        paper = self.chosen.choice(list(Paper.objects.all()) or [self.add()])
        self.chosen.choice(self.changes())(paper)

    def changes(self):
        return [
            self.add,
            self.add,
            self.retitle,
            self.tag,
            self.untag,
            self.claim,
            self.measure,
            self.by_hand,
            self.delete,
        ]

    def retitle(self, paper):
        Paper.objects.filter(pk=paper.pk).update(title=" ".join(self.chosen.choices(WORDS, k=2)))

    def tag(self, paper):
        paper.techniques.add(self.chosen.choice(self.techniques))

    def untag(self, paper):
        paper.techniques.clear()

    def claim(self, paper):
        make_claim(paper, slug=f"speedup_x-{paper.claims.count()}")

    def measure(self, paper):
        run = make_run(paper=paper, preset=self.chosen.choice(["full", "smoke"]), device="cuda", **DONE)
        make_measurement(run, verdict=self.chosen.choice(["reproduced", "inconclusive"]))

    def by_hand(self, paper):
        with connection.cursor() as cursor:
            cursor.execute("UPDATE papers_paper SET year = 2021, venue = 'ACL' WHERE id = %s", [paper.pk])

    def delete(self, paper):
        if not paper.runs.exists():
            paper.delete()

    def check(self):
        """Counts and lists of all facets and words, against counting in Python."""
        everything = {
            paper.pk: self.facts(paper) for paper in Paper.objects.prefetch_related("techniques", "claims")
        }
        asked = search()
        assert {paper.pk for paper in asked.every()} == set(everything)
        for name, choices in asked.facets().items():
            for choice in choices:
                wanted = sum((name, choice.value) in facts for facts in everything.values())
                assert choice.count == wanted, (name, choice)
        for word in self.chosen.sample(WORDS, 3):
            found = {paper.pk for paper in search(f"q={word}").every()}
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT id FROM papers_paper WHERE search @@ (plainto_tsquery('english', spectrum_folded(%s))"
                    " || plainto_tsquery('simple', spectrum_folded(%s))"
                    " || CASE WHEN %s LIKE '%%-%%' THEN phraseto_tsquery('english', replace(%s, '-', ' '))"
                    " ELSE ''::tsquery END)",
                    [word] * 4,
                )
                assert found == {number for (number,) in cursor}, word

    @staticmethod
    def facts(paper):
        measured = Measurement.objects.filter(run__paper=paper, run__status="done", run__preset="full")
        yes = {("year", str(paper.year))} | ({("venue", paper.venue)} if paper.venue else set())
        yes |= {("technique", each.slug) for each in paper.techniques.all()}
        yes |= {("axis", each.axis) for each in paper.techniques.all()}
        yes |= {("hardware", each.run.device_name) for each in measured if each.run.device_name}
        yes |= {("evidence", each.verdict) for each in measured} | (
            {("evidence", "measured")} if measured else set()
        )
        if paper.claims.all():
            yes |= {("evidence", "claims")} | (set() if measured else {("evidence", "untested")})
        return yes


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.django_db
def test_within_a_transaction_every_change_is_found_and_counted(seed):
    field = Field(seed)
    for _ in range(12):
        for _ in range(field.chosen.randint(1, 4)):
            field.change()
        field.check()


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.django_db(transaction=True)
def test_over_commits_rollbacks_and_new_bases_every_change_is_found_and_counted(seed):
    field = Field(seed)
    for step in range(14):
        with transaction.atomic():
            field.change()
            field.change()
            if step % 5 == 4:
                field.check()  # sees its own
                transaction.set_rollback(True)
        field.check()
        if step % 4 == 3:
            call_command("index_papers", verbosity=0)
            field.check()
        if step == 9:
            freshness._shared.clear()  # a process that starts now
    assert Base.objects.count() == 2
    assert all(paper.pk in search().found for paper in Paper.objects.all())


@pytest.mark.django_db(transaction=True)
def test_what_others_commit_late_is_found_at_once():
    make_paper(key="first")
    assert keys() == {"first"}
    begun, may_end = threading.Event(), threading.Event()

    def slow():
        try:
            with transaction.atomic():
                make_paper(key="late")
                begun.set()
                may_end.wait(10)
        finally:
            connection.close()

    other = threading.Thread(target=slow)
    other.start()
    assert begun.wait(10)
    make_paper(key="second")  # begun later, committed earlier
    assert keys() == {"first", "second"}
    before = freshness.state().version
    assert freshness.state().version == before
    may_end.set()
    other.join()
    assert keys() == {"first", "second", "late"}
    assert freshness.state().version > before
    freshness._shared.clear()
    assert freshness.current().version == freshness.state().version > before  # another process says the same


@pytest.mark.django_db(transaction=True)
def test_what_is_rolled_back_was_never_here():
    make_paper(key="kept")
    with transaction.atomic():
        make_paper(key="gone")
        assert keys() == {"kept", "gone"}
        transaction.set_rollback(True)
    assert keys() == {"kept"}


@pytest.mark.parametrize("based", [False, True])
@pytest.mark.django_db(transaction=True)
def test_a_changed_taxonomy_and_an_emptied_table_are_seen(based):
    technique = make_technique(slug="way", name="Way", axis="data", position=1)
    make_paper(key="tagged", techniques=[technique])
    assert keys("axis=data") == {"tagged"}
    if based:
        call_command("index_papers", verbosity=0)
    Technique.objects.filter(pk=technique.pk).update(axis="budget")
    assert keys("axis=budget") == {"tagged"}
    assert tasks.is_outdated() == based
    tasks.fold_index()
    assert keys("axis=budget") == {"tagged"}
    assert not tasks.is_outdated()
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE papers_paper CASCADE")
    assert keys() == set()


@pytest.mark.django_db(transaction=True)
def test_a_base_forgets_what_lies_under_it_and_a_heartbeat_touches_nothing():
    run = make_run(paper=make_paper(key="one"), preset="full", device="cuda")
    call_command("index_papers", verbosity=0)
    assert Touched.objects.count() <= 1
    before = freshness.state().version
    type(run).objects.filter(pk=run.pk).update(progress=0.5, step="half")
    assert freshness.state().version == before
    type(run).objects.filter(pk=run.pk).update(**DONE)
    assert freshness.state().version > before


@pytest.mark.django_db(transaction=True)
def test_what_a_dump_brought_from_another_server_does_no_harm():
    make_paper(key="one")
    Base.objects.create(stamp=2**60, papers=b"")
    Touched.objects.create(paper_id=None, stamp=2**60)
    Touched.objects.create(paper_id=1, stamp=2**60)
    assert keys() == {"one"}
    version = freshness.state().version
    assert freshness.state().version == version
    make_paper(key="two")
    assert keys() == {"one", "two"}
    assert freshness.state().version > version
    call_command("index_papers", verbosity=0)
    make_paper(key="three")
    assert keys() == {"one", "two", "three"}
    assert not Touched.objects.filter(stamp=2**60, paper_id=None).exists()
