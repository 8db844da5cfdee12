"""The life of a run in the database alone: claims, leases, fences, the sweeper. No child process here."""

import threading
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models.functions import Now
from django.utils import timezone

from reproduce import journal, lifecycle, pool, waiting
from reproduce.lifecycle import CANCEL, FENCED_OFF, GO_ON, LEASE, MAX_LOST, NEAR
from reproduce.models import Run
from reproduce.models.runs import HEAD_START_S
from tests.making import make_paper
from tests.making_runs import CPU_SLOT, make_run, make_worker

pytestmark = pytest.mark.django_db


def gpu_slot(count, memory_gb):
    return CPU_SLOT | {"device": "cuda", "gpus": ["GPU-1", "GPU-2"][:count], "memory_gb": memory_gb}


def claim(device="cpu", gpus=1):
    """The claimed run and its lease, by some worker."""
    return lifecycle.claim(make_worker(), device, gpus)


def expire(run):
    Run.objects.filter(pk=run.pk).update(lease_until=Now() - timedelta(seconds=1))


def history(run):
    return [(event.status, event.attempt) for event in run.events.all()]


def test_a_claimed_run_is_running_leased_and_recorded():
    run = make_run()
    worker = make_worker(name="gpu-box")
    claimed, lease = lifecycle.claim(worker, "cpu", 1)
    assert (claimed.pk, claimed.status, claimed.attempt, claimed.worker) == (run.pk, "running", 1, worker)
    assert claimed.lease_token == lease.token
    assert timedelta(0) < claimed.lease_until - timezone.now() <= LEASE
    assert [(e.status, e.who, e.why) for e in run.events.all()] == [
        ("running", "gpu-box", "claimed by gpu-box")
    ]


def test_nothing_waits_nothing_is_claimed():
    make_run(device="cuda")
    assert claim("cpu") is None


def test_a_run_that_needs_more_gpus_than_are_free_is_left_for_others():
    pair, single = make_run(device="cuda", gpus=2), make_run(device="cuda", gpus=1)
    assert claim("cuda", gpus=1)[0].pk == single.pk
    assert claim("cuda", gpus=1) is None
    assert claim("cuda", gpus=2)[0].pk == pair.pk


def test_the_fairest_run_goes_first(ben, cy):
    bens = [make_run(requested_by=ben) for _ in range(3)]
    cys = make_run(requested_by=cy)
    urgent = make_run(requested_by=ben, priority=5)
    assert [claim()[0].pk for _ in range(5)] == [urgent.pk, cys.pk, bens[0].pk, bens[1].pk, bens[2].pk]


def test_whose_turn_it_is_goes_first_however_many_of_another_wait_before(ben, cy):
    paper = make_paper()
    bens = [make_run(requested_by=ben, paper=paper) for _ in range(NEAR + 5)]
    cys = [make_run(requested_by=cy, paper=paper, labels=labels) for labels in (["nowhere"], [])]
    taken = [claim()[0].pk for _ in range(3)]
    assert taken == [bens[0].pk, cys[1].pk, bens[1].pk]


@pytest.mark.django_db(transaction=True)
def test_sixteen_claims_at_once_share_out_four_runs():
    runs = {make_run().pk for _ in range(4)}
    won, start = [], threading.Barrier(16)

    def race(worker):
        start.wait()
        if got := lifecycle.claim(worker, "cpu", 1):
            won.append(got[0].pk)
        connection.close()

    threads = [threading.Thread(target=race, args=[make_worker()]) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == sorted(runs)


def test_a_heartbeat_renews_the_lease_and_keeps_what_is_new():
    run = make_run()
    _, lease = claim()
    Run.objects.filter(pk=run.pk).update(lease_until=Now() + timedelta(seconds=1))
    assert lifecycle.heartbeat(lease, progress=0.4, step="backward", log="one\n") == GO_ON
    assert lifecycle.heartbeat(lease, log="zwei – ü\n") == GO_ON
    run.refresh_from_db()
    assert (run.progress, run.step) == (0.4, "backward")
    assert run.lease_until - timezone.now() > LEASE / 2
    assert journal.log_after(run) == ("one\nzwei – ü\n", 16)
    assert journal.log_after(run, 4) == ("zwei – ü\n", 16)
    assert journal.log_after(run, 16) == ("", 16)
    assert journal.log_after(run, 2) == ("e\nzwei – ü\n", 16)
    assert journal.log_after(run, 6) == ("ei – ü\n", 16)
    assert journal.log_after(run, 99) == ("", 99)


def test_a_lost_worker_is_replaced_and_its_late_writes_change_nothing():
    run = make_run()
    _, first = claim()
    expire(run)
    assert lifecycle.sweep() == [run.pk]
    _, second = claim()
    assert second.attempt == 2
    assert lifecycle.heartbeat(first, progress=0.9, log="late") == FENCED_OFF
    assert not lifecycle.finish(first, who="late", why="late")
    assert not lifecycle.fail(first, "recipe_error", "late", who="late")
    assert not lifecycle.hand_back(first, who="late", why="late")
    assert lifecycle.finish(second, who="good", why="finished")
    run.refresh_from_db()
    assert (run.status, run.attempt, run.lost, run.progress) == ("done", 2, 1, 1)
    assert history(run) == [("running", 1), ("queued", 1), ("running", 2), ("done", 2)]
    assert journal.log_after(run) == ("", 0)


def test_a_run_whose_worker_is_lost_three_times_fails_with_a_sentence():
    run = make_run()
    for _ in range(MAX_LOST):
        claim()
        expire(run)
        lifecycle.sweep()
    run.refresh_from_db()
    assert (run.status, run.failure, run.lost) == ("failed", "worker_lost", 3)
    assert run.message == "Its worker was lost 3 times; ask again, or ask the operators to look at the pool."
    assert run.finished is not None


def test_the_sweeper_leaves_living_leases_alone_and_may_run_again():
    run = make_run()
    claim()
    assert lifecycle.sweep() == []
    expire(run)
    assert lifecycle.sweep() == [run.pk]
    assert lifecycle.sweep() == []


def test_handing_back_costs_no_attempt_of_the_three():
    run = make_run()
    for _ in range(5):
        _, lease = claim()
        assert lifecycle.hand_back(lease, who="w", why="stopping")
    run.refresh_from_db()
    assert (run.status, run.lost, run.attempt, run.worker) == ("queued", 0, 5, None)


def test_cancel_before_the_start_is_final_at_once():
    run = make_run()
    assert lifecycle.request_cancel(run, who="ben")
    run.refresh_from_db()
    assert (run.status, run.gpu_seconds, run.message) == (
        "cancelled",
        0,
        "cancelled by ben before it started",
    )
    assert claim() is None
    assert not lifecycle.request_cancel(run, who="ben")


def test_cancel_while_running_reaches_the_worker_with_its_next_heartbeat():
    run = make_run()
    _, lease = claim()
    assert lifecycle.request_cancel(run, who="ben")
    assert lifecycle.heartbeat(lease) == CANCEL
    assert lifecycle.confirm_cancel(lease, who="w", why="Cancelled; every process of it is gone.")
    run.refresh_from_db()
    assert (run.status, run.message) == ("cancelled", "Cancelled; every process of it is gone.")
    assert history(run) == [("running", 1), ("running", 1), ("cancelled", 1)]


def test_a_run_cancelled_while_its_worker_is_lost_is_not_executed_again():
    run = make_run()
    claim()
    lifecycle.request_cancel(run, who="ben")
    expire(run)
    lifecycle.sweep()
    run.refresh_from_db()
    assert run.status == "cancelled"


@pytest.mark.parametrize(
    "bad",
    [
        {"status": "resting"},
        {"status": "running"},
        {"status": "done"},
        {"status": "failed", "finished": timezone.now()},
        {"finished": timezone.now()},
        {"lease_until": timezone.now()},
    ],
)
def test_the_database_refuses_bad_states(bad):
    run = make_run()
    with pytest.raises(IntegrityError), transaction.atomic():
        Run.objects.filter(pk=run.pk).update(**bad)


def test_the_database_refuses_a_second_run_in_flight_of_the_same_question():
    make_run(fingerprint="same")
    with pytest.raises(IntegrityError), transaction.atomic():
        make_run(fingerprint="same")
    make_run(fingerprint="same", repeat=1)


def test_a_worker_is_alive_while_it_is_heard_and_has_not_said_goodbye():
    alive = make_worker(slots=[gpu_slot(1, 80)], labels=["torch 2.13"])
    make_worker(seen=Now() - timedelta(seconds=31))
    make_worker(stopped=Now())
    assert list(pool.alive_workers()) == [alive]
    assert (pool.can_serve("cuda"), pool.can_serve("cpu")) == (True, False)


def test_a_run_is_served_only_where_gpus_memory_and_labels_suffice():
    make_worker(slots=[gpu_slot(1, 80), gpu_slot(2, 40)], labels=["hopper", "torch 2.13"])
    fits = [
        pool.can_serve("cuda", 1, 80),
        pool.can_serve("cuda", 2, 40, ["hopper"]),
        pool.can_serve("cuda", 2, 80),
        pool.can_serve("cuda", 3),
        pool.can_serve("cuda", 1, 0, ["hopper", "torch 2.14"]),
    ]
    assert fits == [True, True, False, False, False]


def test_a_claim_takes_only_what_its_slot_and_its_worker_can_serve():
    large = make_run(device="cuda", memory_gb=100)
    picky = make_run(device="cuda", labels=["hopper"])
    plain = make_run(device="cuda", memory_gb=80)
    worker, hopper = make_worker(), make_worker(labels=["hopper", "torch 2.13"])
    got = lifecycle.claim(worker, "cuda", 1, memory_gb=80, slot=3, device_name="A GPU")[0]
    assert (got.pk, got.slot, got.device_name) == (plain.pk, 3, "A GPU")
    assert lifecycle.claim(worker, "cuda", 1, memory_gb=80) is None
    assert lifecycle.claim(hopper, "cuda", 1, memory_gb=80)[0].pk == picky.pk
    assert lifecycle.claim(hopper, "cuda", 1, memory_gb=141, slot=1)[0].pk == large.pk


@pytest.mark.parametrize("orders", ["pause", "drain"])
def test_a_worker_told_to_take_no_run_takes_none_until_told_to_serve(orders):
    run, worker = make_run(), make_worker()
    assert pool.give_orders(worker, orders, who="ada")
    assert not pool.give_orders(worker, orders, who="ada")
    assert lifecycle.claim(worker, "cpu") is None
    assert pool.give_orders(worker, "serve", who="ada")
    assert lifecycle.claim(worker, "cpu")[0].pk == run.pk


def test_a_slot_never_has_two_runs():
    worker, _, other = make_worker(), make_run(), make_run()
    _, lease = lifecycle.claim(worker, "cpu", slot=0)
    assert lifecycle.claim(worker, "cpu", slot=0) is None
    assert lifecycle.claim(worker, "cpu", slot=1)[0].pk == other.pk
    with pytest.raises(IntegrityError), transaction.atomic():
        Run.objects.filter(pk=other.pk).update(slot=0)
    assert lifecycle.hand_back(lease, who="w", why="stopping")
    assert lifecycle.claim(worker, "cpu", slot=0)[0].pk == lease.run_id


def test_waiting_is_worth_as_much_as_priority(ben):
    old, urgent = make_run(requested_by=ben), make_run(requested_by=ben, priority=1)
    assert waiting.place(urgent)[0] == 1
    Run.objects.filter(pk=old.pk).update(queued=Now() - timedelta(seconds=HEAD_START_S + 1))
    assert waiting.place(urgent)[0] == 2
    assert claim()[0].pk == old.pk


def test_places_in_the_queue_follow_the_order_of_claims(ben, cy):
    runs = [
        make_run(requested_by=who, priority=n)
        for who, n in [(ben, 0), (ben, 3), (cy, 1), (ben, 0), (None, 0)]
    ]
    make_run(device="cuda", requested_by=ben)
    lifecycle.claim(make_worker(), "cuda", 1)
    places = {run.pk: waiting.place(run)[0] for run in runs}
    taken = [claim()[0].pk for _ in runs]
    assert [places[pk] for pk in taken] == [1, 2, 3, 4, 5]
    runs[0].refresh_from_db()
    assert waiting.place(runs[0]) is None


def test_how_long_until_its_turn_is_told_from_history_and_slots():
    now = timezone.now()
    make_run(status="done", started=now - timedelta(seconds=30), finished=now)
    first, second, unknown = make_run(), make_run(recipe="lora-memory"), make_run()
    assert waiting.place(first) == (1, None)
    worker = make_worker()
    assert [waiting.place(run) for run in (first, second, unknown)] == [(1, 0), (2, 30), (3, None)]
    _, lease = lifecycle.claim(worker, "cpu")
    lifecycle.heartbeat(lease, progress=0.5)
    assert waiting.place(second) == (1, 15)


def test_the_estimate_is_the_median_of_past_runs():
    run = make_run()
    assert waiting.estimate_s(run) is None
    now = timezone.now()
    for seconds in (10, 30, 11):
        make_run(status="done", started=now - timedelta(seconds=seconds), finished=now)
    assert waiting.estimate_s(run) == 11


def test_a_trace_grows_while_its_run_lasts_and_starts_anew_with_an_attempt():
    run = make_run()
    _, lease = claim()
    lifecycle.heartbeat(lease, trace=[{"t": 0.0, "gpu": 0}, {"t": 1.0, "gpu": 0}])
    lifecycle.heartbeat(lease, trace=[{"t": 2.0, "gpu": 0}])
    run.refresh_from_db()
    assert [point["t"] for point in journal.trace_of(run)] == [0.0, 1.0, 2.0]
    lifecycle.hand_back(lease, who="w", why="stopping")
    claim()
    run.refresh_from_db()
    assert journal.trace_of(run) == []


def test_what_a_heartbeat_stored_whose_answer_was_lost_is_not_stored_again():
    run = make_run()
    _, lease = claim()
    first, second = {"t": 0.0, "gpu": 0}, {"t": 0.0, "gpu": 1}
    lifecycle.heartbeat(lease, log="ein –\n", log_at=0, trace=[first])
    lifecycle.heartbeat(lease, log="ein –\nzwei\n", log_at=0, trace=[first, second])
    lifecycle.heartbeat(lease, log="ein –\nzwei\n", log_at=0, trace=[first, second])
    lifecycle.heartbeat(lease, log="drei\n", log_at=13)
    assert journal.log_after(run, attempt=1) == ("ein –\nzwei\ndrei\n", 18)
    run.refresh_from_db()
    assert journal.trace_of(run) == [first, second]


def test_a_run_that_is_cancelled_while_its_worker_stops_is_not_queued_again():
    run = make_run()
    _, lease = claim()
    lifecycle.request_cancel(run, who="ben")
    assert lifecycle.hand_back(lease, who="w", why="stopping")
    run.refresh_from_db()
    assert (run.status, run.message) == ("cancelled", "Cancelled while its worker stopped.")
