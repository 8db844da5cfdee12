"""The snapshot of this process, brought up to date at each request: nobody ever sees an older index.

Each change to a paper leaves a line in Touched with its transaction's number. A process pulls the lines of
all transactions that were not over when it last looked, and reads those papers again.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from threading import Lock

from django.db import connection
from pyroaring import BitMap

from explorer.documents import documents, evidence_of
from explorer.snapshot import EMPTY, NOTHING, Snapshot

NEWS = """
WITH now AS (SELECT pg_current_snapshot() AS seen,
                    coalesce(pg_current_xact_id_if_assigned()::text::bigint, 0) AS own),
     last AS (SELECT id, at FROM explorer_touched ORDER BY id DESC LIMIT 1),
     lines AS (SELECT id, paper_id, stamp = own AS mine FROM explorer_touched, now WHERE stamp >= %s)
SELECT pg_snapshot_xmin(seen)::text::bigint, own,
  -- A base from the future came with a dump of another server: its stamps mean nothing here.
  (SELECT max(id) FROM explorer_base WHERE stamp <= pg_snapshot_xmax(seen)::text::bigint),
  coalesce((SELECT id FROM last), 0), (SELECT at FROM last),
  (SELECT array_agg(id) FROM lines WHERE NOT mine), (SELECT array_agg(paper_id) FROM lines WHERE NOT mine),
  (SELECT array_agg(paper_id) FROM lines WHERE mine)
FROM now
"""
NOTHING_YET = 2**62  # no transaction has such a number: asks for no lines
_lock = Lock()
_shared: dict[str, "Seen"] = {}


@dataclass(frozen=True)
class Seen:
    """A snapshot of what is committed; `applied` are the lines since `watermark` that are in it."""

    snapshot: Snapshot
    watermark: int
    applied: frozenset[int]


@dataclass(frozen=True)
class News:
    """What PostgreSQL says at one moment. `own` is the open transaction that asks, 0 if it wrote nothing."""

    watermark: int
    own: int
    base: int | None
    version: int
    changed: datetime | None
    lines: list[int]
    touched: list[int | None]
    mine: list[int | None]

    def unseen(self, applied):
        """The papers of those lines of others that were not applied yet."""
        return {paper for line, paper in zip(self.lines, self.touched, strict=True) if line not in applied}


@dataclass(frozen=True)
class State:
    """`version` rises with every change to what the index covers; `changed` says when the last one was."""

    version: int
    changed: datetime


def current():
    """The index as this request may see it: all that is committed, and what its own transaction wrote."""
    name = connection.settings_dict["NAME"]
    with _lock:
        seen = _shared.get(name)
        news = _news(seen.watermark if seen else NOTHING_YET)
        unseen = news.unseen(seen.applied) if seen else set()
        if seen is None or seen.snapshot.base != news.base or None in unseen:
            if news.own:  # what is not committed may be in what is read now: it is not for others
                return _loaded(news)
            snapshot = _loaded(news)
        else:
            told = {"version": news.version, "changed": news.changed}
            snapshot = _again(seen.snapshot, unseen, **told) if unseen else seen.snapshot
        _shared[name] = Seen(snapshot, news.watermark, frozenset(news.lines))
    if None in news.mine:
        return _loaded(news)
    return _again(snapshot, news.mine, version=news.version, epoch=object()) if news.mine else snapshot


def state():
    news = _news(NOTHING_YET)
    return State(news.version, news.changed or datetime(2000, 1, 1, tzinfo=UTC))


def _news(since):
    with connection.cursor() as cursor:
        cursor.execute(NEWS, [since])
        *rest, lines, touched, mine = cursor.fetchone()
    return News(*rest, lines or [], touched or [], mine or [])


def _again(snapshot, papers, **told):
    return snapshot.with_documents(papers, documents(papers), **told)


def _loaded(news):
    """From the stored base and what was touched since, or from the tables alone."""
    began = Snapshot(news.base, version=news.version, changed=news.changed, **NOTHING)
    if news.base is None:
        return began.with_documents([], documents())
    stamp, whole = _base(news.base)
    numbers = began.numbers(EMPTY, evidence_of())
    based = replace(began, papers=whole, facets=_facets(news.base), **numbers)
    since = _news(stamp)
    touched = {paper for paper in since.touched + since.mine if paper is not None}
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
