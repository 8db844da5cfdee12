"""A real run in a real stack whose worker is killed: it is measured again, once, and nobody is left behind."""

import subprocess
import sys

import pytest

from config import embedded
from reproduce.harness import strangers
from tests.live import wait_until

ASK = """
from django.contrib.auth.models import User
from reproduce import demand
who = User.objects.get(username="admin")
run, _ = demand.request_run(RECIPE, preset="smoke", typed={}, who=who, fresh=True, labels=LABELS)
print(run.pk)
"""


def ask(stack, recipe="flashattention-io", labels=(), **options):
    """The number of a fresh run that only a worker with these labels may take."""
    source = ASK.replace("RECIPE", repr(recipe)).replace("LABELS", repr(list(labels)))
    return int(stack.manage("shell", "--no-imports", "-c", source, **options).split()[-1])


def state(stack, pk):
    return stack.sql("SELECT status, attempt, lost FROM reproduce_run WHERE id = %s", pk)[0]


def test_a_run_whose_worker_is_killed_is_measured_again_exactly_once(stack):
    pk = ask(stack)
    wait_until(lambda: stack.sql("SELECT progress > 0.1 FROM reproduce_run WHERE id = %s", pk) == [(True,)])
    worker = next(process for process in stack.processes() if "worker" in process.cmdline()[-1])
    worker.kill()
    wait_until(lambda: state(stack, pk) == ("done", 2, 1), limit_s=120)
    events = stack.sql("SELECT status, attempt FROM reproduce_runevent WHERE run_id = %s ORDER BY id", pk)
    assert events == [("queued", 0), ("running", 1), ("queued", 1), ("running", 2), ("done", 2)]
    twice = "SELECT count(*) - count(DISTINCT name) FROM reproduce_measurement WHERE run_id = %s"
    assert stack.sql(twice, pk) == [(0,)]
    folder = f"{stack_name(stack)}-{pk}"
    assert [strangers(f"{folder}-{attempt}") for attempt in (1, 2)] == [[], []]


def test_cancelling_a_running_run_ends_every_process_of_it(stack):
    pk = ask(stack)
    wait_until(lambda: stack.sql("SELECT progress > 0.1 FROM reproduce_run WHERE id = %s", pk) == [(True,)])
    assert strangers(f"{stack_name(stack)}-{pk}-1") != []
    stack.sql("UPDATE reproduce_run SET cancel_requested = now() WHERE id = %s", pk)
    wait_until(lambda: state(stack, pk)[0] == "cancelled", limit_s=15)
    assert strangers(f"{stack_name(stack)}-{pk}-1") == []


def test_a_broker_that_hangs_holds_up_neither_a_request_nor_its_run(stack):
    broker = embedded.processes(stack.var, "valkey")[0]
    broker.suspend()
    try:
        pk = ask(stack, timeout=60)
        wait_until(lambda: state(stack, pk)[0] == "done")
    finally:
        broker.resume()


@pytest.fixture
def second_worker(stack):
    """Another worker beside the stack's own, which runs may ask for, and which gives them no time to end."""
    command = ["env", "STOP_GRACE_S=0", sys.executable, "manage.py", "worker", "--label", "second"]
    process = stack.run(subprocess.Popen, command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    announced = "SELECT id FROM reproduce_worker WHERE pid = %s"
    wait_until(lambda: stack.sql(announced, process.pid) != [])
    yield process
    process.kill()
    process.wait()


def test_a_drained_worker_finishes_what_it_runs_takes_nothing_new_and_leaves(stack, second_worker):
    pk = ask(stack, labels=["second"])
    wait_until(lambda: state(stack, pk)[0] == "running")
    stack.sql("UPDATE reproduce_worker SET orders = 'drain' WHERE pid = %s", second_worker.pid)
    waiting = ask(stack, recipe="lora-memory", labels=["second"])
    assert second_worker.wait(60) == 0
    assert (state(stack, pk), state(stack, waiting)) == (("done", 1, 0), ("queued", 0, 0))
    gone = stack.sql("SELECT stopped IS NOT NULL FROM reproduce_worker WHERE pid = %s", second_worker.pid)
    assert gone == [(True,)]
    release(stack, waiting)
    wait_until(lambda: state(stack, waiting)[0] == "done")


def test_a_worker_that_is_stopped_hands_back_what_it_runs_and_no_attempt_counts_as_lost(stack, second_worker):
    pk = ask(stack, labels=["second"])
    wait_until(lambda: state(stack, pk)[0] == "running")
    second_worker.terminate()
    assert second_worker.wait(60) == 0
    assert state(stack, pk) == ("queued", 1, 0)
    release(stack, pk)
    wait_until(lambda: state(stack, pk) == ("done", 2, 0))


def release(stack, pk):
    """Let any worker take it."""
    stack.sql("UPDATE reproduce_run SET labels = '{}' WHERE id = %s", pk)


def stack_name(stack):
    return stack.manage(
        "shell", "--no-imports", "-c", "from django.conf import settings; print(settings.SITE_NAME)"
    ).split()[-1]
