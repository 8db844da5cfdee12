"""What a running attempt says, kept as it comes: its log by byte offsets, and the trace of its GPUs.

Append-only. lifecycle.heartbeat alone writes here, and only for the attempt that holds the lease.
"""

from itertools import chain
from typing import Any

from django.db.models import Max

from reproduce.models import LogChunk, Run, TraceChunk


def append(run_id: int, attempt: int, log: str, log_at: int | None, trace: list[dict[str, Any]]) -> bool:
    """Keep what an attempt said since its last heartbeat, once. Returns whether there was anything new.

    `log` begins at byte `log_at` of the attempt's log; without it, at the end of what is there.
    """
    return _append_log(run_id, attempt, log, log_at) | _append_trace(run_id, attempt, trace)


def _append_log(run_id: int, attempt: int, log: str, log_at: int | None) -> bool:
    if not log:
        return False
    last = LogChunk.objects.filter(run_id=run_id, attempt=attempt).order_by("-offset").first()
    end = last.offset + len(last.text.encode()) if last else 0
    there = 0 if log_at is None else max(0, end - log_at)
    text = log.encode()[there:].decode()
    if text:
        LogChunk.objects.create(run_id=run_id, attempt=attempt, offset=end, text=text)
    return bool(text)


def _append_trace(run_id: int, attempt: int, trace: list[dict[str, Any]]) -> bool:
    if not trace:
        return False
    last = TraceChunk.objects.filter(run_id=run_id, attempt=attempt).last()
    new = [point for point in trace if last is None or _order(point) > _order(last.points[-1])]
    if new:
        TraceChunk.objects.create(run_id=run_id, attempt=attempt, points=new)
    return bool(new)


def _order(point: dict[str, Any]) -> tuple[float, int]:
    return point["t"], point["gpu"]


def log_after(run: Run, offset: int = 0, attempt: int | None = None) -> tuple[str, int]:
    """The log of an attempt (the latest by default) from byte `offset` on, and where to go on next time.

    An offset within a chunk, or within a character, is as good as any other.
    """
    chunks = run.log_chunks.filter(attempt=run.attempt if attempt is None else attempt)
    first = chunks.filter(offset__lte=offset).aggregate(last=Max("offset"))["last"] or 0
    raw = "".join(chunks.filter(offset__gte=first).values_list("text", flat=True)).encode()[offset - first :]
    return raw.decode(errors="replace"), offset + len(raw)


def logged_attempts(run: Run) -> list[int]:
    """The attempts that left a log, in order."""
    return list(run.log_chunks.order_by("attempt").values_list("attempt", flat=True).distinct())


def trace_of(run: Run) -> list[dict[str, Any]]:
    """Every point of the trace so far: from the bundle once there is one, else as the attempt sent them."""
    chunks = run.trace_chunks.filter(attempt=run.attempt).values_list("points", flat=True)
    return run.trace or list(chain.from_iterable(chunks))
