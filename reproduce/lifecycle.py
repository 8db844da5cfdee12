"""The only writer of Run.status. Every transition is one conditional UPDATE that says whether it won.

queued -> running -> done | failed | cancelled; a running run whose lease ran out goes back to queued.
Clocks are the database's. A worker proves itself by its lease token: older attempts change nothing.
"""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Coalesce, Now

from reproduce import journal, naming
from reproduce.models import Run, RunEvent, Worker

LEASE = timedelta(seconds=settings.LEASE_S)
MAX_LOST = 3
NEWS_CHANNEL = "run_news"  # LISTEN here for the number of every run of which there is something new
CLAIM_LOCK = 0x5BEC7201  # pg_advisory_xact_lock: one claim counts runs in flight at a time
SWEEP_LOCK = 0x5BEC7202

ELIGIBLE = """
    run.status = 'queued' AND run.device = %(device)s AND run.gpus <= %(gpus)s
    AND run.memory_gb <= %(memory_gb)s AND run.labels <@ worker.labels
"""
# Whoever has nothing running goes first, in turn: as a rule such newcomers are among the next NEAR that wait.
# If not, step from asker to asker in the index, and take the first run of whoever has the fewest running. So
# no claim reads all that wait, and none locks more than the row that it takes.
NEAR = 250
CLAIM = f"""
WITH RECURSIVE worker AS MATERIALIZED (
    SELECT labels FROM reproduce_worker WHERE id = %(worker)s AND orders = 'serve' AND NOT EXISTS (
        SELECT FROM reproduce_run WHERE worker_id = %(worker)s AND slot = %(slot)s AND status = 'running')
), in_flight AS MATERIALIZED (
    SELECT coalesce(requested_by_id, 0) AS asker, count(*) AS runs FROM reproduce_run
    WHERE status = 'running' GROUP BY 1
), near AS MATERIALIZED (
    SELECT id, turn, status, device, gpus, memory_gb, labels, requested_by_id FROM reproduce_run
    WHERE status = 'queued' AND device = %(device)s ORDER BY turn, id LIMIT {NEAR}
), newcomer AS MATERIALIZED (
    SELECT run.id, run.turn, 0 AS runs FROM near AS run, worker
    WHERE {ELIGIBLE} AND coalesce(run.requested_by_id, 0) NOT IN (SELECT asker FROM in_flight)
    ORDER BY run.turn, run.id LIMIT 10
), waiting AS (
    (SELECT coalesce(requested_by_id, 0) AS asker FROM reproduce_run
     WHERE status = 'queued' AND device = %(device)s AND NOT EXISTS (SELECT FROM newcomer)
     ORDER BY 1 LIMIT 1)
    UNION ALL
    SELECT (SELECT coalesce(requested_by_id, 0) FROM reproduce_run
            WHERE status = 'queued' AND device = %(device)s AND coalesce(requested_by_id, 0) > waiting.asker
            ORDER BY 1 LIMIT 1)
    FROM waiting WHERE asker IS NOT NULL
), first AS MATERIALIZED (
    SELECT first.id, first.turn, coalesce(in_flight.runs, 0) AS runs
    FROM waiting LEFT JOIN in_flight USING (asker) CROSS JOIN worker CROSS JOIN LATERAL (
        SELECT run.id, run.turn FROM reproduce_run AS run
        WHERE {ELIGIBLE} AND coalesce(run.requested_by_id, 0) = waiting.asker
        ORDER BY run.turn, run.id LIMIT 1
    ) AS first
), fairest AS MATERIALIZED (
    SELECT run.id FROM (
        SELECT * FROM newcomer UNION ALL SELECT * FROM first ORDER BY runs, turn, id LIMIT 10
    ) AS next JOIN reproduce_run AS run USING (id) WHERE run.status = 'queued'
    ORDER BY next.runs, next.turn, next.id LIMIT 1 FOR UPDATE OF run SKIP LOCKED
), claimed AS (
    UPDATE reproduce_run AS run
    SET status = 'running', attempt = attempt + 1, worker_id = %(worker)s, slot = %(slot)s,
        device_name = %(device_name)s, lease_token = %(token)s,
        lease_until = statement_timestamp() + %(lease)s, started = statement_timestamp(),
        progress = 0, step = 'starting'
    FROM fairest WHERE run.id = fairest.id
    RETURNING run.id, run.attempt
), recorded AS (
    INSERT INTO reproduce_runevent (run_id, at, attempt, status, who, why)
    SELECT id, statement_timestamp(), attempt, 'running', %(who)s, %(why)s FROM claimed
)
SELECT id, pg_notify(%(channel)s, id::text) FROM claimed
"""

# Each step of a claim wants the first row of an index. The planner, which cannot know how few runs ask for
# labels, would rather sort all of an asker's: not in this transaction.
ALONE = "SELECT set_config('enable_bitmapscan', 'off', true), pg_advisory_xact_lock(%s)"

HEARTBEAT = """
UPDATE reproduce_run
SET lease_until = statement_timestamp() + %(lease)s, progress = coalesce(%(progress)s, progress),
    step = coalesce(%(step)s, step)
WHERE id = %(run)s AND status = 'running' AND lease_token = %(token)s
RETURNING cancel_requested IS NOT NULL
"""

GO_ON, CANCEL, FENCED_OFF = "go on", "cancel", "fenced off"
WAITING = {"progress": 0, "step": "", "worker": None, "slot": None, "started": None, "device_name": ""}


@dataclass(frozen=True)
class Lease:
    """A worker's right to write to one attempt of one run."""

    run_id: int
    attempt: int
    token: uuid.UUID


def claim(
    worker: Worker,
    device: str,
    gpus: int = 0,
    *,
    memory_gb: float = float("inf"),
    slot: int = 0,
    device_name: str = "",
) -> tuple[Run, Lease] | None:
    """Take the fairest waiting run that a slot can serve: fewest running for its user, priority, age.

    A slot has `gpus` GPUs of `memory_gb` each; one on the CPU serves small presets of any recipe. None
    also for a worker that is told to take no run, and for a slot whose last run still holds its lease.
    """
    token = uuid.uuid4()
    given = {
        "worker": worker.pk,
        "device": device,
        "gpus": gpus if device == "cuda" else 64,
        "memory_gb": memory_gb,
        "slot": slot,
        "device_name": device_name,
        "token": token,
        "lease": LEASE,
        "who": worker.name,
        "why": f"claimed by {worker.name}",
        "channel": NEWS_CHANNEL,
    }
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(ALONE, [CLAIM_LOCK])
        cursor.execute(CLAIM, given)
        row = cursor.fetchone()
    if row is None:
        return None
    run = Run.objects.select_related("worker").get(pk=row[0])
    return run, Lease(run.pk, run.attempt, token)


def heartbeat(
    lease: Lease,
    *,
    progress: float | None = None,
    step: str | None = None,
    log: str = "",
    log_at: int | None = None,
    trace: Iterable[dict[str, object]] = (),
) -> str:
    """Renew the lease, store what is new, and learn how to go on: GO_ON, CANCEL or FENCED_OFF.

    `log_at` says where in the attempt's log `log` begins. What an earlier heartbeat stored, whose answer was
    lost, is not stored again; nor is a point of the trace.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            HEARTBEAT,
            {"lease": LEASE, "progress": progress, "step": step, "run": lease.run_id, "token": lease.token},
        )
        if not (row := cursor.fetchone()):
            return FENCED_OFF
        if journal.append(lease.run_id, lease.attempt, log, log_at, list(trace)) or progress is not None:
            _tell(lease.run_id)
    return CANCEL if row[0] else GO_ON


def finish(lease: Lease, *, who: str, why: str, **fields: object) -> bool:
    """running -> done. `fields` are further columns of the run. Returns whether the lease still held."""
    return _end(lease, "done", who=who, why=why, progress=1, step="", message="", **fields)


def fail(lease: Lease, failure: str, message: str, *, who: str, **fields: object) -> bool:
    """running -> failed, with its class and one sentence for the reader."""
    return _end(lease, "failed", who=who, why=message, failure=failure, message=message, **fields)


def confirm_cancel(lease: Lease, *, who: str, why: str, **fields: object) -> bool:
    """running -> cancelled, once the worker has seen every process of the run gone."""
    return _end(lease, "cancelled", who=who, why=why, message=why, **fields)


def hand_back(lease: Lease, *, who: str, why: str) -> bool:
    """running -> queued, by a worker that stops in good order. It does not count as a lost attempt."""
    owned = _owned(lease)
    if _move(owned.filter(cancel_requested=None), "queued", who=who, why=why, **WAITING):
        return True
    return _end(lease, "cancelled", who=who, why="cancelled", message="Cancelled while its worker stopped.")


def request_cancel(run: Run, *, who: str) -> bool:
    """Cancel a waiting run at once; ask the worker of a running one. False if it had already ended."""
    with transaction.atomic():
        now = Run.objects.select_for_update().get(pk=run.pk)
        same = Run.objects.filter(pk=run.pk, status=now.status)
        if now.status == Run.Status.QUEUED:
            why = naming.BEFORE_IT_STARTED.format(who)
            return _move(same, "cancelled", who=who, why=why, message=why, finished=Now())
        if now.status != Run.Status.RUNNING:
            return False
        same.update(cancel_requested=Coalesce("cancel_requested", Now()))
        _record(now, who, naming.ASKED_TO_CANCEL.format(who))
    return True


def sweep() -> list[int]:
    """Take back every run whose lease ran out; the ids. Safe to run anywhere, any number of times."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [SWEEP_LOCK])
        if not cursor.fetchone()[0]:
            return []
        expired = Run.objects.filter(status="running", lease_until__lt=Now()).select_for_update(
            skip_locked=True
        )
        return [run.pk for run in expired if _take_back(run)]


def waiting_devices() -> list[str]:
    """The device classes that have a waiting run."""
    return sorted(Run.objects.filter(status="queued").order_by().values_list("device", flat=True).distinct())


def _take_back(run: Run) -> bool:
    owner = run.worker.name if run.worker else "its worker"
    same = Run.objects.filter(pk=run.pk, status="running", lease_token=run.lease_token, lease_until__lt=Now())
    if run.cancel_requested:
        why = f"cancelled; {owner} was lost meanwhile"
        return _move(same, "cancelled", who="sweeper", why=why, message=why, finished=Now())
    if run.lost + 1 >= MAX_LOST:
        why = f"Its worker was lost {MAX_LOST} times; ask again, or ask the operators to look at the pool."
        return _move(
            same, "failed", who="sweeper", why=why, failure="worker_lost", message=why, lost=F("lost") + 1,
            finished=Now(),
        )  # fmt: skip
    why = f"{owner} was not heard of for {LEASE.seconds} s; waiting for another"
    return _move(same, "queued", who="sweeper", why=why, lost=F("lost") + 1, **WAITING)


def _end(lease: Lease, status: str, *, who: str, why: str, **fields: object) -> bool:
    return _move(_owned(lease), status, who=who, why=why, finished=Now(), **fields)


def _owned(lease: Lease) -> QuerySet[Run]:
    return Run.objects.filter(pk=lease.run_id, status="running", lease_token=lease.token)


def _move(runs: QuerySet[Run], status: str, *, who: str, why: str, **fields: object) -> bool:
    """Where a status changes, the claim apart, which does the same: an UPDATE and its event, or nothing."""
    with transaction.atomic():
        pk = runs.values_list("pk", flat=True).first()
        won = runs.update(status=status, lease_token=None, lease_until=None, **fields)
        if won:
            _record(Run.objects.get(pk=pk), who, why)
    return bool(won)


def _record(run: Run, who: str, why: str) -> None:
    RunEvent.objects.create(run=run, at=Now(), attempt=run.attempt, status=run.status, who=who, why=why)
    _tell(run.pk)


def _tell(run_id: int) -> None:
    """Let whoever watches look again, once this transaction is committed."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", [NEWS_CHANNEL, str(run_id)])
