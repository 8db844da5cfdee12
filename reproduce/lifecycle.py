"""The only writer of Run.status. Every transition is one conditional UPDATE that says whether it won.

queued -> running -> done | failed | cancelled; a running run whose lease ran out goes back to queued.
Clocks are the database's. A worker proves itself by its lease token: older attempts change nothing.
"""

import uuid
from dataclasses import dataclass
from datetime import timedelta

from django.db import connection, transaction
from django.db.models import F, Max, QuerySet
from django.db.models.functions import Now

from reproduce.models import LogChunk, Run, RunEvent, Worker

LEASE = timedelta(seconds=30)
MAX_LOST = 3
CLAIM_LOCK = 0x5BEC7201  # pg_advisory_xact_lock: one claim counts runs in flight at a time
SWEEP_LOCK = 0x5BEC7202

CLAIM = """
WITH in_flight AS (
    SELECT requested_by_id, count(*) AS runs FROM reproduce_run
    WHERE status = 'running' GROUP BY requested_by_id
), fairest AS (
    SELECT run.id FROM reproduce_run AS run
    LEFT JOIN in_flight ON in_flight.requested_by_id IS NOT DISTINCT FROM run.requested_by_id
    WHERE run.status = 'queued' AND run.device = %(device)s AND run.gpus <= %(gpus)s
    ORDER BY coalesce(in_flight.runs, 0), run.priority DESC, run.id
    LIMIT 1 FOR UPDATE OF run SKIP LOCKED
)
UPDATE reproduce_run AS run
SET status = 'running', attempt = attempt + 1, worker_id = %(worker)s, lease_token = %(token)s,
    lease_until = statement_timestamp() + %(lease)s, started = statement_timestamp(),
    progress = 0, step = 'starting'
FROM fairest WHERE run.id = fairest.id
RETURNING run.id
"""

HEARTBEAT = """
UPDATE reproduce_run
SET lease_until = statement_timestamp() + %(lease)s, progress = coalesce(%(progress)s, progress),
    step = coalesce(%(step)s, step)
WHERE id = %(run)s AND status = 'running' AND lease_token = %(token)s
RETURNING cancel_requested IS NOT NULL
"""

GO_ON, CANCEL, FENCED_OFF = "go on", "cancel", "fenced off"


@dataclass(frozen=True)
class Lease:
    """A worker's right to write to one attempt of one run."""

    run_id: int
    attempt: int
    token: uuid.UUID


def claim(worker: Worker, device: str, gpus: int) -> tuple[Run, Lease] | None:
    """Take the fairest waiting run that `gpus` GPUs can serve: fewest running for its user, priority, age."""
    token = uuid.uuid4()
    given = {"device": device, "gpus": gpus if device == "cuda" else 64, "worker": worker.pk}
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [CLAIM_LOCK])
        cursor.execute(CLAIM, {**given, "token": token, "lease": LEASE})
        if not (row := cursor.fetchone()):
            return None
        run = Run.objects.select_related("requested_by").get(pk=row[0])
        _record(run, worker.name, f"claimed by {worker.name}")
    return run, Lease(run.pk, run.attempt, token)


def heartbeat(lease: Lease, *, progress: float | None = None, step: str | None = None, log: str = "") -> str:
    """Renew the lease, store what is new, and learn how to go on: GO_ON, CANCEL or FENCED_OFF."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            HEARTBEAT,
            {"lease": LEASE, "progress": progress, "step": step, "run": lease.run_id, "token": lease.token},
        )
        if not (row := cursor.fetchone()):
            return FENCED_OFF
        if log:
            _append_log(lease, log)
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
    return _move(_owned(lease), "queued", who=who, why=why, progress=0, step="", worker=None, started=None)


def request_cancel(run: Run, *, who: str) -> bool:
    """Cancel a waiting run at once; ask the worker of a running one. False if it had already ended."""
    why = f"cancelled by {who}"
    waiting = Run.objects.filter(pk=run.pk, status="queued")
    if _move(waiting, "cancelled", who=who, why=f"{why} before it started", message=why, finished=Now()):
        return True
    with transaction.atomic():
        asked = Run.objects.filter(pk=run.pk, status="running").update(cancel_requested=Now())
        if asked:
            run.refresh_from_db()
            _record(run, who, f"{who} asked to cancel", status="running")
    return bool(asked)


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


def log_after(run: Run, offset: int = 0) -> tuple[str, int]:
    """The log of the run's latest attempt from byte `offset` on, and the offset to ask from next time.

    An offset within a chunk, or within a character, is as good as any other.
    """
    chunks = run.log_chunks.filter(attempt=run.attempt)
    first = chunks.filter(offset__lte=offset).aggregate(last=Max("offset"))["last"] or 0
    raw = "".join(chunks.filter(offset__gte=first).values_list("text", flat=True)).encode()[offset - first :]
    return raw.decode(errors="replace"), offset + len(raw)


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
    return _move(
        same,
        "queued",
        who="sweeper",
        why=why,
        lost=F("lost") + 1,
        progress=0,
        step="",
        worker=None,
        started=None,
    )


def _end(lease: Lease, status: str, *, who: str, why: str, **fields: object) -> bool:
    return _move(_owned(lease), status, who=who, why=why, finished=Now(), **fields)


def _owned(lease: Lease) -> QuerySet[Run]:
    return Run.objects.filter(pk=lease.run_id, status="running", lease_token=lease.token)


def _move(runs: QuerySet[Run], status: str, *, who: str, why: str, **fields: object) -> bool:
    """Where a status changes, the claim apart: a conditional UPDATE and its event, or nothing."""
    with transaction.atomic():
        pk = runs.values_list("pk", flat=True).first()
        won = runs.update(status=status, lease_token=None, lease_until=None, **fields)
        if won:
            _record(Run.objects.get(pk=pk), who, why)
    return bool(won)


def _record(run: Run, who: str, why: str, status: str | None = None) -> None:
    RunEvent.objects.create(
        run=run, at=Now(), attempt=run.attempt, status=status or run.status, who=who, why=why
    )


def _append_log(lease: Lease, text: str) -> None:
    last = LogChunk.objects.filter(run_id=lease.run_id, attempt=lease.attempt).order_by("-offset").first()
    offset = last.offset + len(last.text.encode()) if last else 0
    LogChunk.objects.create(run_id=lease.run_id, attempt=lease.attempt, offset=offset, text=text)
