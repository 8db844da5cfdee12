"""Turns that all processes share: each source is asked by one at a time, with the pause that it wants.

The row in the database is the turn; a process that dies in it loses it after a while.
"""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import connection

_TAKE = """
INSERT INTO papers_turn AS turn (name, free_at, holder, day, taken)
VALUES (%(name)s, clock_timestamp() + %(at_most)s * interval '1 second', %(token)s, %(day)s, 1)
ON CONFLICT (name) DO UPDATE SET free_at = excluded.free_at, holder = excluded.holder, day = excluded.day,
  taken = CASE WHEN turn.day = excluded.day THEN turn.taken + 1 ELSE 1 END
WHERE turn.free_at <= clock_timestamp() AND (turn.day < excluded.day OR turn.taken < %(per_day)s)
RETURNING 1
"""
_WAIT = """
SELECT greatest(extract(epoch FROM free_at - clock_timestamp()), 0),
  day = %(day)s AND taken >= %(per_day)s FROM papers_turn WHERE name = %(name)s
"""
_END = """
UPDATE papers_turn SET free_at = clock_timestamp() + %(pause)s * interval '1 second', holder = ''
WHERE name = %(name)s AND holder = %(token)s
"""
_NO_LIMIT = 2**31 - 1


class NotYet(Exception):
    """It is somebody else's turn, or too early. The message is a sentence."""


@dataclass
class Turn:
    """The holder may lengthen the pause that follows, as when a site says to wait."""

    pause_s: float


@contextmanager
def turn(
    name: str, *, pause_s: float, at_most_s: float, per_day: int | None = None, patience_s: float = 0
) -> Iterator[Turn]:
    """Hold the turn of that name for at most `at_most_s`; raises NotYet when it does not come in time."""
    token, deadline = secrets.token_hex(8), time.monotonic() + patience_s
    while not _take(name, token, at_most_s, per_day or _NO_LIMIT):
        wait, spent = _wait(name, per_day or _NO_LIMIT)
        if spent:
            raise NotYet(f"{name} was asked {per_day:,} times today, which is the most it allows.")
        if time.monotonic() + wait > deadline:
            raise NotYet(f"It is not yet time to ask {name} again.")
        time.sleep(wait + 0.001)
    held = Turn(pause_s)
    try:
        yield held
    finally:
        _run(_END, name=name, token=token, pause=held.pause_s)


def _take(name: str, token: str, at_most_s: float, per_day: int) -> bool:
    given = {"name": name, "token": token, "at_most": at_most_s, "per_day": per_day, "day": _today()}
    return _run(_TAKE, **given) is not None


def _wait(name: str, per_day: int) -> tuple[float, bool]:
    found = _run(_WAIT, name=name, per_day=per_day, day=_today())
    return (float(found[0]), bool(found[1])) if found else (0.0, False)


def _today() -> int:
    """Days of UTC since 1970, as the sources count them."""
    return int(time.time() // 86_400)


def _run(statement: str, **given: object) -> tuple | None:
    with connection.cursor() as cursor:
        cursor.execute(statement, given)
        return cursor.fetchone() if cursor.description else None
