"""How long a worker's statements take, by how many runs wait and whose; the baseline is a bare round trip."""

import time

import throwaway
from throwaway import report, timed

throwaway.begin()

from django.contrib.auth.models import User  # noqa: E402
from django.db import connection  # noqa: E402
from django.db.models.functions import Now  # noqa: E402

from papers.models import Paper  # noqa: E402
from reproduce import lifecycle  # noqa: E402
from reproduce.models import Run, Worker  # noqa: E402

REPEATS = 200
MANY = 10_000

paper = Paper.objects.create(key="none", title="None", title_key="none", year=2024)
users = User.objects.bulk_create(User(username=f"user{number}") for number in range(2000))
worker = Worker.objects.create(name="bench", host="bench", pid=1, started=Now(), seen=Now())


def waiting(askers):
    """One waiting run for each of the askers, in that order."""
    first = Run.objects.count()
    made = (
        Run(
            recipe="none", recipe_version=1, recipe_digest="", paper=paper, preset="smoke", device="cpu",
            time_limit=1, fingerprint=str(first + number), requested_by=asker,
        )
        for number, asker in enumerate(askers)
    )  # fmt: skip
    Run.objects.bulk_create(made, batch_size=1000)


def spread(count, among):
    waiting(among[number % len(among)] for number in range(count))


def all_busy():
    """20 people who all have something running, so that nobody is a newcomer."""
    spread(20, users[:20])
    take(20)
    spread(MANY, users[:20])


def one_first():
    """All of one person who has a run in flight, and last of all those whose turn it is."""
    spread(1, users[:1])
    take(1)
    spread(MANY, users[:1])
    spread(REPEATS, users[1:])


CASES = {
    "200 runs of 20 people wait": lambda: spread(REPEATS, users[:20]),
    "10,000 of 20 people": lambda: spread(MANY, users[:20]),
    "10,000 of 2,000 people": lambda: spread(MANY, users),
    "10,000 of 20 people who all have one running": all_busy,
    "10,000 of one who has one running, then others": one_first,
}


def bare():
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.fetchone()


def take(count):
    return [lifecycle.claim(worker, "cpu", slot=next(slots))[1] for _ in range(count)]


def measure(name, fill):
    global slots
    slots = iter(range(MANY))
    Run.objects.all().delete()
    fill()
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE reproduce_run")
    alone = []
    with connection.execute_wrapper(timing_of_claims(alone)):
        report(f"claim: {name}", [timed_claim() for _ in range(REPEATS)])
    report("  its one statement alone", alone)


def timing_of_claims(seconds):
    """Times the statement that chooses a run, apart from the event, the commit and Django."""

    def execute_timed(execute, sql, params, many, context):
        began = time.perf_counter()
        result = execute(sql, params, many, context)
        if sql == lifecycle.CLAIM:
            seconds.append(time.perf_counter() - began)
        return result

    return execute_timed


def timed_claim():
    """It is finished at once, so that no more are in flight than the case says."""
    leases = []
    seconds = timed(lambda: leases.extend(take(1)))
    lifecycle.finish(leases[0], who="bench", why="bench")
    return seconds


report("a bare round trip (baseline)", [timed(bare) for _ in range(REPEATS)])
for case in CASES.items():
    measure(*case)
lease = take(1)[0]
report("heartbeat", [timed(lambda: lifecycle.heartbeat(lease, progress=0.5)) for _ in range(REPEATS)])
report("sweep that finds nothing", [timed(lifecycle.sweep) for _ in range(REPEATS)])
