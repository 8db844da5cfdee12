"""Standing orders: measured once on each torch that a worker brings, whoever looks and however often."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.utils import timezone

from config.celery import app
from reproduce import batches, catalogue, demand, lifecycle, pool, schedules, tasks, torches
from reproduce.models import Batch, Run, Schedule
from tests.making import make_paper
from tests.making_runs import make_run
from tests.test_batches import CPU_SLOT, FLASH, LORA, end, make_operator, make_torch_worker, members_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("two_recipes")]
NOW = "2.13.0+cpu"
GPU_SLOT = CPU_SLOT | {"device": "cuda", "gpus": ["GPU-1"], "memory_gb": 30}


@pytest.fixture
def papers(db):
    make_paper(identifiers=[("arxiv", "2205.14135")])
    make_paper(identifiers=[("arxiv", "2106.09685")])


@pytest.fixture
def cyril(cy):
    return make_operator(cy)


def make_schedule(who, recipe="", preset="smoke"):
    return schedules.make(recipe, preset, who=who)


def asked():
    return [(batch.cause, [run.labels for run in batch.runs.all()]) for batch in Batch.objects.order_by("pk")]


def measured(slug, torch, **over):
    recipe = catalogue.recipe(slug)
    packages = {"code": {"packages": {"torch": torch}}}
    question = {"recipe_digest": recipe.digest, "parameters": recipe.parameters("smoke", {})}
    given = {"status": "done", "finished": timezone.now(), "environment": packages, **question}
    return make_run(recipe=slug, **given | over)


@pytest.mark.parametrize(
    ("newer", "older"),
    [
        ("2.13.0+cpu", "2.9.1"),
        ("2.13.1", "2.13.0+cu130"),
        ("2.9.1", ""),
        ("3.0", "2.99.99"),
        ("2.11.0", "not installed"),
    ],
)
def test_versions_are_ordered_as_they_came_out(newer, older):
    assert torches.order(newer) > torches.order(older)


def test_only_what_living_and_serving_workers_of_the_preset_announce_is_brought():
    for torch in ("2.9.0", "2.13.0"):
        make_torch_worker(torch)
    make_torch_worker("3.0.0", orders="drain")
    make_torch_worker("3.1.0", stopped=timezone.now())
    make_torch_worker("3.2.0", slot=GPU_SLOT)
    make_torch_worker("3.3.0", seen=timezone.now() - 2 * pool.SILENT)
    assert (torches.brought("smoke"), torches.brought("full")) == (["2.13.0", "2.9.0"], ["3.2.0"])


def test_each_torch_gets_one_batch_however_often_one_looks(papers, cyril):
    schedule = make_schedule(cyril)
    for torch in ("2.9.0", NOW):
        make_torch_worker(torch)
    for _ in range(3):
        schedules.look()
    assert asked() == [
        (f"{schedule.pk}:all:{NOW}", [[f"torch {NOW}"]] * 2),
        (f"{schedule.pk}:all:2.9.0", [["torch 2.9.0"]] * 2),
    ]
    batch = Batch.objects.get(cause__endswith=NOW)
    assert (batch.title, batch.schedule, batch.asked_by) == (
        f"Scheduled: every recipe, smoke with torch {NOW}",
        schedule,
        cyril,
    )


def test_what_failed_or_was_cancelled_is_not_asked_for_again_by_itself(papers, cyril):
    make_schedule(cyril, FLASH)
    make_torch_worker(NOW)
    schedules.look()
    end(Run.objects.get(), "failed", failure="timeout", message="Out of time.")
    schedules.look()
    assert Run.objects.count() == 1


def test_a_cancelled_batch_of_a_schedule_stays_cancelled(papers, cyril):
    make_schedule(cyril, FLASH)
    make_torch_worker(NOW)
    schedules.look()
    batches.cancel(Batch.objects.get(), who="cy")
    schedules.look()
    assert [(run.recipe, run.status) for run in Run.objects.all()] == [(FLASH, "cancelled")]


@pytest.mark.parametrize(
    "over",
    [
        {},
        {"status": "queued", "finished": None, "environment": {}, "labels": [f"torch {NOW}"]},
    ],
)
def test_what_has_a_result_or_is_in_flight_with_that_torch_is_not_asked_for(papers, cyril, over):
    measured(FLASH, NOW, **over)
    make_schedule(cyril, FLASH)
    make_torch_worker(NOW)
    schedules.look()
    assert asked() == []


def test_what_runs_on_a_worker_with_that_torch_is_not_asked_for(papers, cyril):
    worker = make_torch_worker(NOW)
    lease = {"status": "running", "lease_token": "0" * 32, "lease_until": timezone.now(), "attempt": 1}
    measured(FLASH, "", finished=None, worker=worker, slot=0, **lease)
    make_schedule(cyril, FLASH)
    schedules.look()
    assert asked() == []


@pytest.mark.parametrize(
    "over",
    [
        {"environment": {"code": {"packages": {"torch": "2.9.0"}}}},
        {"origin": "shipped"},
        {"origin": "contributed"},
        {"preset": "full"},
        {"parameters": {"batch": 7}},
        {"recipe_digest": "1" * 64},
        {"status": "failed", "failure": "timeout", "message": "Out of time."},
    ],
)
def test_no_other_result_stands_for_it(papers, cyril, over):
    measured(FLASH, NOW, **over)
    make_schedule(cyril, FLASH)
    make_torch_worker(NOW)
    schedules.look()
    assert len(asked()) == 1


def test_what_no_worker_with_that_torch_can_serve_waits_for_one_that_can(papers, cyril):
    schedule = make_schedule(cyril, preset="full")
    make_torch_worker(NOW, slot=GPU_SLOT)
    schedules.look()
    needs = {slug: catalogue.recipe(slug).gpu_memory_gb for slug in (FLASH, LORA)}
    assert min(needs.values()) > GPU_SLOT["memory_gb"] and asked() == []
    make_torch_worker(NOW, slot=GPU_SLOT | {"memory_gb": min(needs.values())})
    schedules.look()
    make_torch_worker(NOW, slot=GPU_SLOT | {"memory_gb": 200})
    schedules.look()
    assert asked() == [(f"{schedule.pk}:all:{NOW}", [[f"torch {NOW}"]] * 2)]


def test_a_run_waits_for_a_worker_with_its_torch_and_no_other_takes_it(papers, cyril):
    make_schedule(cyril, FLASH)
    new = make_torch_worker(NOW)
    schedules.look()
    assert lifecycle.claim(make_torch_worker("2.9.0"), "cpu") is None
    assert lifecycle.claim(new, "cpu") is not None


def test_a_stopped_schedule_asks_for_nothing_and_can_be_made_anew(papers, cyril):
    schedule = make_schedule(cyril)
    assert (schedules.stop(schedule), schedules.stop(schedule)) == (True, False)
    make_torch_worker(NOW)
    schedules.look()
    assert asked() == []
    assert make_schedule(cyril).pk != schedule.pk


def test_a_schedule_whose_maker_has_left_asks_for_nothing(papers, cyril):
    make_schedule(cyril)
    make_torch_worker(NOW)
    cyril.is_active = False
    cyril.save()
    schedules.look()
    cyril.delete()
    schedules.look()
    assert asked() == []


def test_what_makes_no_sense_is_refused(cyril):
    make_schedule(cyril)
    for recipe, preset, named in (
        ("no-such", "smoke", "recipe"),
        (FLASH, "huge", "preset"),
        ("", "smoke", ""),
    ):
        with pytest.raises(demand.Refused) as refused:
            make_schedule(cyril, recipe, preset)
        assert list(refused.value.errors) == [named]
    assert Schedule.objects.count() == 1


def test_the_clock_looks_each_minute(papers, cyril):
    make_schedule(cyril, LORA)
    make_torch_worker(NOW)
    beat = app.conf.beat_schedule["schedules"]
    assert (beat["task"], beat["schedule"], beat["options"]["queue"]) == (
        tasks.look_at_schedules.name,
        60,
        "house",
    )
    tasks.look_at_schedules()
    assert members_of(Batch.objects.get()) == [(LORA, False)]


@pytest.mark.django_db(transaction=True)
def test_many_clocks_at_once_make_one_batch(papers, cyril):
    schedule, start = make_schedule(cyril), threading.Barrier(6)
    make_torch_worker(NOW)

    def race(_):
        start.wait()
        schedules.look()
        connection.close()

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(race, range(6)))  # raises what any of them raised
    assert asked() == [(f"{schedule.pk}:all:{NOW}", [[f"torch {NOW}"]] * 2)]
    assert Run.objects.count() == 2
