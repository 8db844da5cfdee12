"""Asking for runs: parameters, quotas, and one answer to the same question."""

import threading
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models.functions import Now
from django.utils import timezone

from papers.models import Identifier
from reproduce import demand, lifecycle
from reproduce.models import Run
from tests.making import make_paper
from tests.making_runs import make_run, make_worker

pytestmark = pytest.mark.django_db
SLUG = "flashattention-io"


@pytest.fixture
def paper(db):
    paper = make_paper()
    Identifier.objects.create(paper=paper, scheme="arxiv", value="2205.14135")
    return paper


def ask(who, fresh=False, preset="smoke", labels=(), **typed):
    return demand.request_run(SLUG, preset=preset, typed=typed, who=who, fresh=fresh, labels=labels)


def refusal(who, **given):
    with pytest.raises(demand.Refused) as refused:
        ask(who, **given)
    return refused.value.errors


def test_a_request_is_queued_with_all_that_it_needs(paper, ben):
    run, new = ask(ben)
    assert new
    assert (run.status, run.recipe, run.paper, run.device, run.requested_by) == (
        "queued",
        SLUG,
        paper,
        "cpu",
        ben,
    )
    assert [(e.status, e.who, e.why) for e in run.events.all()] == [("queued", "ben", "asked for")]


def test_the_same_question_joins_the_run_in_flight_and_then_its_result(paper, ben, cy):
    run, _ = ask(ben)
    assert ask(cy) == (run, False)
    Run.objects.filter(pk=run.pk).update(status="done", finished=timezone.now())
    assert ask(cy) == (run, False)


def test_a_fresh_repeat_is_a_new_run_of_the_same_question(paper, ben):
    run, _ = ask(ben)
    Run.objects.filter(pk=run.pk).update(status="done", finished=timezone.now())
    repeat, new = ask(ben, fresh=True)
    assert (new, repeat.repeat, repeat.fingerprint) == (True, 1, run.fingerprint)
    assert ask(ben, fresh=True) == (repeat, False)


def test_a_run_that_is_being_cancelled_answers_nobody(paper, ben, cy):
    dying, _ = ask(ben)
    lifecycle.claim(make_worker(), "cpu", 1)
    lifecycle.request_cancel(dying, who="ben")
    again, new = ask(cy)
    assert (new, again.status, again.fingerprint) == (True, "queued", dying.fingerprint)
    assert ask(ben) == (again, False)


def test_a_failed_or_cancelled_run_is_no_answer(paper, ben):
    run, _ = ask(ben)
    Run.objects.filter(pk=run.pk).update(status="cancelled", finished=timezone.now())
    again, new = ask(ben)
    assert new and again != run


def test_shipped_and_contributed_results_do_not_answer_for_this_pool(paper, ben):
    run, _ = ask(ben)
    Run.objects.filter(pk=run.pk).update(status="done", finished=timezone.now(), origin="shipped")
    assert ask(ben)[1]


def test_wrong_requests_are_refused_by_field(paper, ben):
    with pytest.raises(demand.Refused) as refused:
        demand.request_run("no-such", preset="smoke", typed={}, who=ben)
    assert refused.value.errors == {"recipe": "There is no recipe 'no-such'; /recipes lists those there are."}
    assert refusal(ben, preset="huge") == {"preset": "Choose one of: smoke, full."}
    assert list(refusal(ben, nonsense="1")) == ["nonsense"]
    assert Run.objects.count() == 0


def test_a_recipe_whose_paper_is_missing_says_so(ben):
    assert refusal(ben)[""].startswith("The paper arxiv:2205.14135 is not in the database")


def test_a_user_has_a_limit_of_runs_in_flight(paper, ben, cy, settings):
    settings.RUNS_IN_FLIGHT = 2
    make_run(requested_by=ben)
    make_run(requested_by=ben)
    assert refusal(ben) == {"": "You have 2 runs waiting or running; wait for one, or cancel one."}
    assert ask(cy)[1]


def test_gpu_seconds_are_counted_for_a_day_and_the_platforms_failures_are_free(paper, ben, settings):
    settings.GPU_SECONDS_PER_DAY = 100
    now = timezone.now()
    spent = {"requested_by": ben, "finished": now, "gpu_seconds": 60}
    make_run(status="done", **spent)
    make_run(status="failed", failure="worker_lost", message="lost", **spent)
    make_run(status="failed", failure="platform", message="broken", **spent)
    old = make_run(status="done", **spent)
    Run.objects.filter(pk=old.pk).update(queued=Now() - timedelta(days=2))
    assert demand.quota(ben) == demand.Quota(used_s=60, limit_s=100, in_flight=0, max_in_flight=5)
    make_run(status="done", **spent)
    assert refusal(ben, preset="full") == {
        "": "You used 120 of 100 GPU-seconds in 24 hours; try again later."
    }
    assert ask(ben, preset="smoke")[1]


@pytest.mark.django_db(transaction=True)
def test_eight_people_asking_the_same_at_once_get_one_run(paper):
    people = [User.objects.create_user(f"person{number}") for number in range(8)]
    got, start = [], threading.Barrier(8)

    def race(who):
        start.wait()
        got.append(ask(who))
        connection.close()

    threads = [threading.Thread(target=race, args=[who]) for who in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({run.pk for run, _ in got}) == 1
    assert sum(new for _, new in got) == 1


def test_a_run_may_ask_for_labels_and_is_then_another_question(paper, ben):
    plain, _ = ask(ben)
    picky, new = ask(ben, labels=[" quiet-room", "quiet-room", ""])
    again, joined = ask(ben, labels=["quiet-room"])
    assert (new, joined, again) == (True, False, picky)
    assert (plain.labels, picky.labels) == ([], ["quiet-room"])


@pytest.mark.parametrize("labels", [["x" * 101], list("abcdef"), ["a\x00b"]])
def test_labels_that_cannot_be_are_refused(paper, ben, labels):
    told = "Name at most 5 labels of at most 100 characters; /workers shows all."
    assert refusal(ben, labels=labels) == {"labels": told}
