"""The snapshot of this process, brought up to date at each request: nobody ever sees an older index.

Each change to a paper leaves a line in Touched with its transaction's number. A process pulls the lines of
all transactions that were not over when it last looked, and reads those papers again.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from threading import Lock
from typing import NamedTuple

from django.db import connection
from pyroaring import BitMap

from explorer.documents import documents, evidence_of
from explorer.prepared import Prepared
from explorer.snapshot import EMPTY, NOTHING, Snapshot

NEWS = Prepared(
    "news",
    "bigint",
    """
WITH now AS (SELECT pg_current_snapshot() AS seen,
                    coalesce(pg_current_xact_id_if_assigned()::text::bigint, 0) AS own),
     this AS (SELECT own, pg_snapshot_xmin(seen)::text::bigint AS oldest,
                     pg_snapshot_xmax(seen)::text::bigint AS next FROM now),
     -- What is from the future came with a dump of another server: its stamps mean nothing here.
     lines AS (SELECT t.id, t.paper_id, t.stamp = own AS mine FROM explorer_touched t, this
               WHERE t.stamp >= coalesce($1, oldest) AND (t.stamp < next OR t.stamp = own))
SELECT oldest, own, clock_timestamp(),
  (SELECT max(id) FROM explorer_base WHERE stamp <= next),
  CASE WHEN $1 IS NULL THEN
    (SELECT count(*) FROM explorer_touched WHERE stamp <> own AND stamp < next) END,
  (SELECT array_agg(id) FROM lines WHERE NOT mine), (SELECT array_agg(paper_id) FROM lines WHERE NOT mine),
  (SELECT array_agg(paper_id) FROM lines WHERE mine)
FROM this
""",
)
BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
_lock = Lock()
_shared: dict[str, "Seen"] = {}


@dataclass(frozen=True)
class Seen:
    """A snapshot of what is committed; `applied` are the lines since `watermark` that are in it.

    `count` is of all lines there ever were since the base: all processes count alike, whatever the order.
    """

    snapshot: Snapshot
    watermark: int
    applied: frozenset[int]
    count: int


@dataclass(frozen=True)
class News:
    """What PostgreSQL says at one moment. `own` is the open transaction that asks, 0 if it wrote nothing.

    `lines` are those of others since the watermark asked for, or all that may still grow; `touched` are
    their papers, `mine` those of our own. All of them are counted only when no watermark was given.
    """

    watermark: int
    own: int
    at: datetime
    base: int | None
    count: int | None
    lines: list[int]
    touched: list[int | None]
    mine: list[int | None]

    def unseen(self, applied):
        """{line: paper} of those lines of others that were not applied yet."""
        pairs = zip(self.lines, self.touched, strict=True)
        return {line: paper for line, paper in pairs if line not in applied}


class State(NamedTuple):
    """`version` rises with every change to what the index covers; `changed` says when it was noticed."""

    version: int
    changed: datetime


def current():
    """The index as this request may see it: all that is committed, and what its own transaction wrote."""
    name = connection.settings_dict["NAME"]
    with _lock:
        seen, news = _caught_up(_shared.get(name))
        if seen is None:  # what is not committed may be in what is read now: it is not for others
            return _loaded(news, version=_own(news))
        _shared[name] = seen
    if None in news.mine:
        return _loaded(news, version=_own(news))
    if news.mine:
        return _again(seen.snapshot, set(news.mine), version=_own(news), epoch=object())
    return seen.snapshot


def state():
    index = current()
    return State(index.version, index.changed or BEGINNING)


def _caught_up(seen):
    """(what is committed now, the news of it). None if that can only be read mixed with what is not."""
    news = _news(seen.watermark if seen else None)
    unseen = news.unseen(seen.applied) if seen else {}
    if seen and seen.snapshot.base == news.base and None not in unseen.values():
        count, snapshot = seen.count + len(unseen), seen.snapshot
        if unseen:
            told = {"version": _version(news.base, count), "changed": news.at}
            snapshot = _again(snapshot, set(unseen.values()), **told)
        return Seen(snapshot, news.watermark, frozenset(news.lines), count), news
    news = _news(None)
    if news.own:
        return None, news
    snapshot = _loaded(news, version=_version(news.base, news.count))
    return Seen(snapshot, news.watermark, frozenset(news.lines), news.count), news


def _version(base, count):
    return ((base or 0) << 40) + count


def _own(news):
    """A version that nobody else has: of what an open transaction sees."""
    return (news.own << 80) + len(news.mine)


def _news(since):
    *rest, lines, touched, mine = NEWS.rows(since)[0]
    return News(*rest, lines or [], touched or [], mine or [])


def _again(snapshot, papers, **told):
    return snapshot.with_documents(papers, documents(papers), **told)


def _loaded(news, version):
    """From the stored base and what was touched since; from the tables where that may be everything."""
    began = Snapshot(news.base, version=version, changed=news.at, **NOTHING)
    if news.base is None:
        return began.with_documents([], documents())
    stamp, whole = _base(news.base)
    since = _news(stamp)
    touched = {*since.touched, *since.mine}
    if None in touched:
        return began.with_documents(whole, documents())
    numbers = began.numbers(EMPTY, evidence_of())
    based = replace(began, papers=whole, facets=_facets(news.base), **numbers)
    return _again(based, touched) if touched else based


def _base(number):
    with connection.cursor() as cursor:
        cursor.execute("SELECT stamp, papers FROM explorer_base WHERE id = %s", [number])
        stamp, whole = cursor.fetchone()
    return stamp, BitMap.deserialize(bytes(whole))


def _facets(base):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT substr(key, 3), bitmap FROM explorer_posting"
            " WHERE base_id = %s AND key >= 'f/' AND key < 'f0'",
            [base],
        )
        return {key: BitMap.deserialize(bytes(bitmap)) for key, bitmap in cursor}
