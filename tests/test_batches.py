"""Many runs asked for at once: joined, left out, counted, cancelled; and nothing of it holds the rest up."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.utils import timezone

from reproduce import batches, catalogue, demand, doorbell, lifecycle
from reproduce.batches import Progress
from reproduce.models import Batch, BatchMember, Run
from tests.making import make_paper, make_technique
from tests.making_runs import CPU_SLOT, make_run, make_worker

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("two_recipes")]
FLASH, LORA = "flashattention-io", "lora-memory"


@pytest.fixture
def papers(db):
    flash = make_paper(identifiers=[("arxiv", "2205.14135")])
    return flash, make_paper(identifiers=[("arxiv", "2106.09685")])


def ask(who, kind="all", preset="smoke", **given):
    return batches.ask(kind, preset=preset, who=who, **given)


def members_of(batch):
    return [(member.run.recipe, member.joined) for member in batch.members.select_related("run")]


def end(run, status="done", **fields):
    Run.objects.filter(pk=run.pk).update(status=status, finished=timezone.now(), **fields)


def make_operator(user):
    user.groups.add(Group.objects.get_or_create(name="operators")[0])
    return user


def refusal(who, **given):
    with pytest.raises(demand.Refused) as refused:
        ask(who, **given)
    assert not Batch.objects.exists()
    return refused.value.errors


def test_a_batch_asks_for_every_recipe_in_one_row(papers, ben):
    batch = ask(ben)
    assert (batch.title, batch.asked_by, batch.left_out) == ("Every recipe, smoke", ben, [])
    assert members_of(batch) == [(FLASH, False), (LORA, False)]
    assert batches.progress(batch) == Progress(queued=2)
    assert [event.why for run in batch.runs.all() for event in run.events.all()] == ["asked for"] * 2


def test_it_joins_what_is_in_flight_and_what_has_a_result(papers, ben, cy):
    flying = demand.request_run(FLASH, preset="smoke", typed={}, who=cy)[0]
    done = demand.request_run(LORA, preset="smoke", typed={}, who=cy)[0]
    end(done)
    batch = ask(ben)
    assert members_of(batch) == [(FLASH, True), (LORA, True)]
    assert set(batch.runs.all()) == {flying, done}
    assert batches.progress(batch) == Progress(queued=1, done=1)


def test_afresh_it_measures_again_what_has_a_result(papers, ben):
    for run in ask(ben).runs.all():
        end(run)
    again = ask(ben, fresh=True)
    assert members_of(again) == [(FLASH, False), (LORA, False)]
    assert [run.repeat for run in again.runs.all()] == [1, 1]


def test_what_somebody_waits_for_goes_before_their_batch(papers, ben):
    batch = ask(ben)
    single = demand.request_run(FLASH, preset="smoke", typed={"batch": 1}, who=ben)[0]
    taken = [lifecycle.claim(make_worker(), "cpu")[0] for _ in range(3)]
    assert [run.pk for run in taken] == [single.pk, *batch.runs.order_by("pk").values_list("pk", flat=True)]


def test_what_cannot_be_asked_for_is_left_out_with_its_reason_and_stops_nothing(ben, monkeypatch):
    make_paper(identifiers=[("arxiv", "2106.09685")])
    broken = {"a-broken-one": ["a-broken-one/recipe.toml: title is missing"]}
    monkeypatch.setattr(catalogue, "broken", lambda: broken)
    batch = ask(ben)
    assert members_of(batch) == [(LORA, False)]
    assert [left["recipe"] for left in batch.left_out] == ["a-broken-one", FLASH]
    assert batch.left_out[0]["why"].endswith(
        "until that is mended: a-broken-one/recipe.toml: title is missing"
    )
    assert batch.left_out[1]["why"].startswith("The paper arxiv:2205.14135 is not in the database")


def test_a_batch_counts_against_the_quota_like_any_request(papers, ben, settings):
    settings.RUNS_IN_FLIGHT = 1
    batch = ask(ben)
    assert members_of(batch) == [(FLASH, False)]
    full = "You have 1 runs waiting or running; wait for one, or cancel one."
    assert batch.left_out == [{"recipe": LORA, "why": full}]


def test_operators_are_free_of_quotas(papers, ben, settings):
    settings.RUNS_IN_FLIGHT = settings.GPU_SECONDS_PER_DAY = 0
    assert members_of(ask(make_operator(ben), preset="full")) == [(FLASH, False), (LORA, False)]


def test_superusers_are_free_of_quotas_and_moderators_are_not(papers, ada, settings):
    settings.RUNS_IN_FLIGHT = 0
    assert len(ask(ada).left_out) == 2
    ada.is_superuser = True
    assert ask(ada).left_out == []


def test_the_recipes_of_a_technique_are_those_of_its_papers(papers, ben):
    technique = make_technique(slug="tiling", name="Tiling")
    papers[0].techniques.add(technique)
    batch = ask(ben, kind="technique", technique="tiling")
    assert (batch.title, members_of(batch)) == ("Recipes of Tiling, smoke", [(FLASH, False)])


def test_what_makes_no_sense_is_refused_by_field_and_leaves_no_batch(papers, ben):
    make_technique(slug="tiling", name="Tiling")
    assert list(refusal(ben, kind="some")) == ["kind"]
    assert list(refusal(ben, preset="huge")) == ["preset"]
    assert list(refusal(ben, kind="technique", technique="no-such")) == ["technique"]
    assert refusal(ben, kind="technique", technique="tiling") == {
        "technique": "No recipe measures a paper on Tiling yet."
    }


def make_result(slug, torch, preset="smoke", **over):
    packages = {"code": {"packages": {"torch": torch}}}
    return make_run(
        recipe=slug, preset=preset, status="done", finished=timezone.now(), environment=packages, **over
    )


def make_torch_worker(torch, slot=CPU_SLOT, **over):
    return make_worker(versions={"torch": torch}, labels=[f"torch {torch}"], slots=[slot], **over)


def test_what_changed_is_what_was_last_measured_with_another_torch(papers, ben):
    make_torch_worker("2.9.0+cpu")
    make_torch_worker("2.13.0+cpu")
    make_torch_worker("3.0.0+cpu", orders="pause")
    make_torch_worker("3.1.0", slot=CPU_SLOT | {"device": "cuda"})
    make_result(FLASH, "2.13.0+cpu")
    make_result(FLASH, "2.9.0+cpu")  # the latest
    make_result(LORA, "2.9.0+cpu")
    make_result(LORA, "2.13.0+cpu")  # the latest
    make_result(LORA, "2.9.0+cpu", preset="full")
    make_result(LORA, "2.9.0+cpu", origin="contributed")
    batch = ask(ben, kind="changed")
    assert batch.title == "Last measured with another torch than 2.13.0+cpu, smoke"
    assert [(run.recipe, run.labels) for run in batch.runs.all()] == [(FLASH, ["torch 2.13.0+cpu"])]


def test_a_result_that_does_not_say_its_torch_has_changed(papers, ben):
    make_torch_worker("2.13.0+cpu")
    make_run(recipe=FLASH, status="done", finished=timezone.now())
    assert members_of(ask(ben, kind="changed")) == [(FLASH, False)]


def test_without_a_worker_or_a_change_there_is_nothing_to_ask_for(papers, ben):
    assert refusal(ben, kind="changed") == {
        "kind": "No worker that takes smoke runs is alive to say which torch it has."
    }
    make_torch_worker("2.13.0+cpu")
    make_result(FLASH, "2.13.0+cpu")
    none = "No smoke result was last measured with another torch than 2.13.0+cpu."
    assert refusal(ben, kind="changed") == {"kind": none}


def test_filling_a_batch_again_asks_for_nothing_twice(papers, ben):
    batch = ask(ben)
    for run in batch.runs.all():
        end(run, "failed", failure="timeout", message="Out of time.")
    batches.fill(batch, batches.Plan("again", [FLASH, LORA]), preset="smoke", who=ben)
    assert (Run.objects.count(), BatchMember.objects.count()) == (2, 2)


@pytest.mark.django_db(transaction=True)
def test_who_dies_halfway_leaves_a_batch_that_shows_what_it_has(papers, ben, monkeypatch):
    real = demand.request_run

    def dies(slug, **asked):
        if slug == LORA:
            raise KeyboardInterrupt
        return real(slug, **asked)

    monkeypatch.setattr(demand, "request_run", dies)
    with pytest.raises(KeyboardInterrupt):
        ask(ben)
    batch = Batch.objects.get()
    assert (members_of(batch), batches.progress(batch)) == ([(FLASH, False)], Progress(queued=1))
    assert batches.cancel(batch, who="ben") == 1


@pytest.mark.django_db(transaction=True)
def test_one_ring_is_enough_for_all_of_a_batch(papers, ben, monkeypatch):
    rung = []
    monkeypatch.setattr(doorbell, "ring", rung.append)
    ask(ben)
    assert rung == ["cpu"]
    ask(ben)  # everything joined: there is nothing new to tell
    assert rung == ["cpu"]


def test_cancelling_ends_what_was_queued_for_it_and_not_what_it_joined(papers, ben, cy):
    joined = demand.request_run(FLASH, preset="smoke", typed={}, who=cy)[0]
    batch = ask(ben)
    assert batches.cancel(batch, who="ben") == 1
    assert [(run.recipe, run.status) for run in batch.runs.order_by("recipe")] == [
        (FLASH, "queued"),
        (LORA, "cancelled"),
    ]
    assert Run.objects.get(pk=joined.pk).cancel_requested is None
    batch.refresh_from_db()
    first = batch.cancelled
    assert batches.cancel(batch, who="ada") == 0
    batch.refresh_from_db()
    assert batch.cancelled == first is not None


def test_a_running_member_is_told_once_and_ends_when_its_worker_has_seen_it(papers, ben):
    batch = ask(ben)
    run, lease = lifecycle.claim(make_worker(), "cpu")
    assert batches.cancel(batch, who="ben") == 2
    assert batches.cancel(batch, who="ben") == 0
    assert batches.progress(batch) == Progress(running=1, cancelled=1)
    assert [event.why for event in run.events.all()][-1] == "ben asked to cancel"
    assert lifecycle.heartbeat(lease) == lifecycle.CANCEL
    lifecycle.confirm_cancel(lease, who="worker", why="gone")
    assert batches.progress(batch).is_done


def test_a_batch_that_was_cancelled_asks_for_no_more(papers, ben):
    batch = Batch.objects.create(title="Half asked", asked_by=ben, cancelled=timezone.now())
    batches.fill(batch, batches.Plan("rest", [FLASH]), preset="smoke", who=ben)
    batch.refresh_from_db()
    assert batch.left_out == [{"recipe": FLASH, "why": batches.CANCELLED_FIRST}]
    assert not Run.objects.exists()


def test_who_asked_and_operators_may_cancel(papers, ada, ben, cy):
    batch = ask(ben)
    make_operator(cy)
    assert [batches.may_cancel(user, batch) for user in (ada, ben, cy)] == [False, True, True]


def test_progress_counts_every_state_in_one_query(ben, django_assert_num_queries):
    made = [Batch.objects.create(title=f"Batch {number}", asked_by=ben) for number in range(3)]
    now = timezone.now()
    failed = {"status": "failed", "failure": "timeout", "message": "Out of time.", "finished": now}
    for fields in (
        {},
        {},
        {"status": "done", "finished": now},
        {"status": "cancelled", "finished": now},
        failed,
    ):
        BatchMember.objects.create(batch=made[0], run=make_run(**fields))
    with django_assert_num_queries(1):
        found = batches.progress_of_all(made)
    whole = Progress(queued=2, done=1, failed=1, cancelled=1)
    assert found == {made[0].pk: whole, made[1].pk: Progress(), made[2].pk: Progress()}
    assert (whole.ended, whole.total, whole.is_done, Progress().is_done) == (3, 5, False, True)


@pytest.mark.django_db(transaction=True)
def test_filling_one_batch_at_once_from_many_sides_asks_for_each_recipe_once(papers, ben):
    batch, start = Batch.objects.create(title="Raced for", asked_by=ben), threading.Barrier(6)

    def race(_):
        start.wait()
        batches.fill(batch, batches.Plan("all", [FLASH, LORA]), preset="smoke", who=ben, fresh=True)
        connection.close()

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(race, range(6)))  # raises what any of them raised
    assert (sorted(members_of(batch)), Run.objects.count()) == ([(FLASH, False), (LORA, False)], 2)
