"""How long a worker's statements take, with an empty and a full queue; the baseline is a bare round trip."""

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


def fill(paper, users, count):
    Run.objects.bulk_create(
        Run(
            recipe="none", recipe_version=1, recipe_digest="", paper=paper, preset="smoke", device="cpu",
            time_limit=1, fingerprint=f"{count}-{number}", requested_by=users[number % len(users)],
        )
        for number in range(count)
    )  # fmt: skip


def bare():
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.fetchone()


paper = Paper.objects.create(key="none", title="None", title_key="none", year=2024)
users = User.objects.bulk_create(User(username=f"user{number}") for number in range(20))
worker = Worker.objects.create(name="bench", host="bench", pid=1, started=Now(), seen=Now())


def measure():
    leases = []
    report("bare round trip (baseline)", [timed(bare) for _ in range(REPEATS)])
    report(
        "claim", [timed(lambda: leases.append(lifecycle.claim(worker, "cpu", 1)[1])) for _ in range(REPEATS)]
    )
    report("heartbeat", [timed(lambda: lifecycle.heartbeat(leases[0], progress=0.5)) for _ in range(REPEATS)])
    report("sweep that finds nothing", [timed(lifecycle.sweep) for _ in range(REPEATS)])
    for lease in leases:
        lifecycle.finish(lease, who="bench", why="bench")


for waiting in (REPEATS, 20_000):
    fill(paper, users, waiting)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    print(f"{Run.objects.filter(status='queued').count()} runs waiting, {len(users)} users")
    measure()
