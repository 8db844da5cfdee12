"""The base of the index: postings of all papers, stored once so that a web process need not read every paper.

Searches never wait for it and never differ by it: what was touched since is read over it.
"""

from array import array
from collections import defaultdict
from itertools import chain

from django.db import connection, transaction
from django.db.models import Q
from pyroaring import BitMap

from explorer.documents import PAPERS, Evidence, document, evidence_of
from explorer.models import Base, Touched

CHUNK = 2000  # papers read at once
FOLDED = 100_000  # papers gathered as plain numbers before they go into the bitmaps


def build(show=lambda done: None):
    """Stores a new base of all papers as one transaction sees them; returns it. `show` hears of progress."""
    with transaction.atomic():
        stamp, future = _begin()
        postings, papers = _gather(show)
        base = Base.objects.create(stamp=stamp, papers=papers.serialize())
        _store(base.pk, postings)
        _forget(base, future)
    return base


def _begin():
    """(the oldest transaction that is not over, a number that none has yet) in one view for all that is read.

    What is not over by then will be read over the base.
    """
    with connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute(
            "SELECT pg_snapshot_xmin(now)::text::bigint, pg_snapshot_xmax(now)::text::bigint"
            " FROM pg_current_snapshot() AS now"
        )
        return cursor.fetchone()


def _gather(show):
    evidence, papers = evidence_of(), BitMap()
    postings, waiting = defaultdict(BitMap), defaultdict(lambda: array("I"))
    with connection.chunked_cursor() as cursor:
        cursor.execute(PAPERS)
        for done, row in enumerate(chain.from_iterable(iter(lambda: cursor.fetchmany(CHUNK), [])), 1):
            paper = document(row, evidence.get(row[0], Evidence()))
            papers.add(paper.id)
            for key in paper.words:
                waiting[key].append(paper.id)
            for key in paper.facets:
                waiting[f"f/{key}"].append(paper.id)
            if not done % FOLDED:
                _fold(waiting, postings)
                show(done)
    _fold(waiting, postings)
    return postings, papers


def _fold(waiting, postings):
    for key, numbers in waiting.items():
        postings[key].update(numbers)
    waiting.clear()


def _store(base, postings):
    columns = "COPY explorer_posting (base_id, key, bitmap) FROM STDIN"
    with connection.cursor() as cursor, cursor.copy(columns) as copy:
        for key in sorted(postings):
            copy.write_row((base, key, postings[key].serialize()))


def _forget(base, future):
    """Bases that no process can be reading any more, and what was touched before this one.

    Of the lines the newest stays; those from the future came with a dump of another server.
    """
    kept = list(Base.objects.order_by("-pk").values_list("pk", flat=True)[:2])
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM explorer_posting WHERE NOT base_id = ANY(%s)", [kept])
        cursor.execute("DELETE FROM explorer_base WHERE NOT id = ANY(%s)", [kept])
    last = Touched.objects.order_by("-pk").values("pk")[:1]
    Touched.objects.filter(Q(stamp__lt=base.stamp) | Q(stamp__gt=future)).exclude(pk__in=last).delete()
