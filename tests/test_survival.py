"""A real run in a real stack whose worker is killed: it is measured again, once, and nobody is left behind."""

from config import embedded
from reproduce.harness import strangers
from tests.live import wait_until

ASK = """
from django.contrib.auth.models import User
from reproduce import demand
who = User.objects.get(username="admin")
run, _ = demand.request_run("flashattention-io", preset="smoke", typed={}, who=who, fresh=True)
print(run.pk)
"""


def ask(stack, **options):
    return int(stack.manage("shell", "--no-imports", "-c", ASK, **options).split()[-1])


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
        assert state(stack, pk)[0] == "queued"
    finally:
        broker.resume()
    wait_until(lambda: state(stack, pk)[0] == "done")


def stack_name(stack):
    return stack.manage(
        "shell", "--no-imports", "-c", "from django.conf import settings; print(settings.SITE_NAME)"
    ).split()[-1]
