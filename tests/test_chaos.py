"""The short form of the chaos test, and that its judge would see each fault: a judge who cannot find is no proof."""

import gzip
import json
import subprocess
import sys
from datetime import timedelta

import pytest
from django.conf import settings
from django.utils import timezone

from reproduce import catalogue
from reproduce.models import LogChunk, RunEvent
from tests.chaos.judging import Evidence, judge
from tests.chaos.ledger import Mark
from tests.chaos.modes import numbers_of, question
from tests.making_runs import make_measurement, make_run

ONE_DEED_OF_EACH_KIND = ["--short", "--runs", "30", "--minutes", "2", "--pause", "0.4"]
HISTORY = [("queued", 0), ("running", 1), ("done", 1)]


def test_nothing_is_lost_stuck_or_repeated_while_everything_is_killed():
    command = [sys.executable, "-m", "tests.chaos", *ONE_DEED_OF_EACH_KIND]
    chaos = subprocess.run(command, cwd=settings.BASE_DIR, capture_output=True, text=True, timeout=600)
    assert chaos.returncode == 0, chaos.stdout + chaos.stderr


@pytest.fixture
def run(db):
    """A run that went well, with all that it should have left."""
    now = timezone.now()
    run = make_run(
        parameters=question("quick", 0), status="done", attempt=1, progress=1,
        started=now - timedelta(seconds=3), finished=now,
    )  # fmt: skip
    toy = {"environment": {"toy": f"{run.pk}-1"}}
    type(run).objects.filter(pk=run.pk).update(bundle=gzip.compress(json.dumps(toy).encode()))
    for status, attempt in HISTORY:
        tell(run, status, attempt)
    measures = [measure.name for measure in catalogue.recipe(run.recipe).measures]
    for name, value in numbers_of(run.pk, measures).items():
        make_measurement(run, name=name, value=value, low=value, high=value, n=1)
    LogChunk.objects.create(run=run, attempt=1, offset=0, text="line 0\n")
    return run


def tell(run, status, attempt):
    RunEvent.objects.create(run=run, at=timezone.now(), status=status, attempt=attempt, who="w", why="so")


def page(run, *said, late_s=-1):
    """What a toy marked, its last mark so long after the end of its run."""
    end = run.finished.timestamp() + late_s
    return [Mark(what, 1, end - len(said) + 1 + number) for number, what in enumerate(said)]


def found(run, pages=None, **over):
    """The rules that are broken."""
    ledger = {run.pk: pages or {1: page(run, "begin", "end")}}
    return [name for name, faults in judge(Evidence(ledger, **over)).items() if faults]


def test_a_run_that_went_well_breaks_no_rule(run):
    assert found(run, asked=[("quick", 0)], forsaken={run.pk: 59}) == []


def test_a_run_that_waits_for_ever_or_never_came_to_be_is_lost(run):
    assert found(run, asked=[("quick", 1)]) == ["lost"]
    assert found(run, unheard=[("quick", 1)]) == ["lost"]
    tell(make_run(parameters=question("quick", 1)), "queued", 0)
    assert found(run) == ["lost"]


def test_a_run_in_nobodys_hands_for_a_minute_is_stuck(run):
    assert found(run, forsaken={run.pk: 61}) == ["stuck over 60 s"]


def test_an_execution_that_nobody_recorded_is_seen(run):
    assert found(run, {1: page(run, "begin", "begin", "end")}) == ["executed twice"]
    unrecorded = {1: page(run, "begin", late_s=-9), 2: page(run, "begin", "end")}
    assert found(run, unrecorded) == ["executed twice"]


def test_attempts_at_the_same_time_are_seen_unless_the_worker_was_frozen(run):
    type(run).objects.filter(pk=run.pk).update(attempt=2)
    run.events.all().delete()
    for status, attempt in [*HISTORY[:2], ("queued", 1), ("running", 2), ("done", 2)]:
        tell(run, status, attempt)
    run.measurements.update(n=2)
    toy = {"environment": {"toy": f"{run.pk}-2"}}
    type(run).objects.filter(pk=run.pk).update(bundle=gzip.compress(json.dumps(toy).encode()))
    both = {1: page(run, "begin", "alive", late_s=-1), 2: page(run, "begin", "alive", "end")}
    assert found(run, both) == ["executed twice"]
    assert found(run, both, hit={("freeze", (run.pk, 1))}) == []


@pytest.mark.parametrize("status", ["done", "queued", "failed"])
def test_a_step_that_the_state_machine_has_not_is_seen(run, status):
    tell(run, status, 1)
    assert "wrong state" in found(run)


def test_a_toy_that_ends_otherwise_than_it_should_is_seen_unless_it_was_hit(run):
    run.measurements.all().delete()
    run.events.filter(status="done").update(status="failed")
    type(run).objects.filter(pk=run.pk).update(status="failed", failure="out_of_memory", message="So.")
    assert found(run) == ["wrong state"]
    assert found(run, hit={("recipe", (run.pk, 1))}) == []
    assert found(run, hit={("guard", (run.pk, 1)), ("recipe", (run.pk, 2))}) == ["wrong state"]


def test_numbers_of_another_run_or_attempt_are_seen(run):
    run.measurements.filter(position=0).update(n=2)
    assert found(run) == ["wrong metrics"]
    run.measurements.all().delete()
    assert found(run) == ["wrong metrics"]


def test_what_is_there_twice_is_seen(run):
    LogChunk.objects.create(run=run, attempt=1, offset=7, text="line 0\n")
    assert found(run) == ["recorded twice"]


def test_a_process_that_outlives_its_run_is_seen(run):
    assert found(run, {1: page(run, "begin", "end", late_s=1)}) == ["alive after its end"]
