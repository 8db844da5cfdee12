"""The queue as whoever waits in it wants to know it: which place, and how long until then.

Places follow the very order in which lifecycle.claim takes runs, as if nothing else came or ended meanwhile.
"""

from collections import defaultdict
from statistics import median

from django.db import connection

from reproduce import pool
from reproduce.models import Run

HISTORY = 20

# A claim takes whoever has the fewest runs in flight, then by turn. So a user's next waiting run has the
# level of what they have running, the one after that a level more, and so on.
AHEAD = """
WITH in_flight AS (
    SELECT coalesce(requested_by_id, 0) AS asker, count(*) AS runs FROM reproduce_run
    WHERE status = 'running' GROUP BY 1
), waiting AS (
    SELECT run.id, run.turn, run.recipe, run.preset, coalesce(in_flight.runs, 0) + row_number() OVER (
        PARTITION BY coalesce(run.requested_by_id, 0) ORDER BY run.turn, run.id) AS level
    FROM reproduce_run AS run LEFT JOIN in_flight ON in_flight.asker = coalesce(run.requested_by_id, 0)
    WHERE run.status = 'queued' AND run.device = %(device)s
)
SELECT ahead.recipe, ahead.preset, count(*) FROM waiting AS ahead, waiting AS mine
WHERE mine.id = %(run)s AND (ahead.level, ahead.turn, ahead.id) < (mine.level, mine.turn, mine.id)
GROUP BY 1, 2
"""


def place(run: Run) -> tuple[int, float | None] | None:
    """Its place in the queue, 1 for the next, and the seconds until its turn as far as history tells.

    None when it does not wait; no seconds where no slot could serve it or too little is known.
    """
    if run.status != Run.Status.QUEUED:
        return None
    with connection.cursor() as cursor:
        cursor.execute(AHEAD, {"run": run.pk, "device": run.device})
        ahead = cursor.fetchall()
    return 1 + sum(count for *_, count in ahead), _wait_s(run, ahead)


def estimate_s(run: Run) -> float | None:
    """Median seconds of the latest finished runs of this recipe and preset here; None without any."""
    return _typical_s(run.recipe, run.preset, run.device)


def _typical_s(recipe: str, preset: str, device: str) -> float | None:
    past = Run.objects.ours().filter(recipe=recipe, preset=preset, status="done", device=device)
    latest = past.only("started", "finished")[:HISTORY]
    seconds = [run.duration for run in latest if run.duration is not None]
    return median(seconds) if seconds else None


def _wait_s(run: Run, ahead: list[tuple[str, str, int]]) -> float | None:
    """All the work before it, shared by the slots of its device class. None when some of it is unknown.

    Of a running run, what its own progress leaves of the typical time.
    """
    slots = pool.slots_of(run.device)
    running = Run.objects.filter(status="running", device=run.device)
    left = [(*kind, 1 - progress) for *kind, progress in running.values_list("recipe", "preset", "progress")]
    if len(left) + sum(count for *_, count in ahead) < slots:
        return 0
    work: dict[tuple[str, str], float] = defaultdict(float)
    for recipe, preset, runs in [*ahead, *left]:
        work[recipe, preset] += runs
    typical = {kind: _typical_s(*kind, run.device) for kind in work}
    if not slots or None in typical.values():
        return None
    return sum(typical[kind] * runs for kind, runs in work.items()) / slots
