"""Papers in an order that the index knows, read from the database a slice at a time."""

from collections.abc import Callable, Iterator, Sequence

from django.db.models import Count, OuterRef, Subquery, Value
from django.db.models.functions import Coalesce

from papers.models import Claim, Paper
from reproduce.models import Measurement

CHUNK = 500


class Listing(Sequence):
    """Papers in full, with their evidence; `ids` gives the ids from one place to before another.

    `reader` turns ids into what is listed, if that is not to be papers.
    """

    def __init__(
        self,
        size: int,
        ids: Callable[[int, int], list[int]],
        reader: Callable[[list[int]], list] | None = None,
    ) -> None:
        self.size, self.ids, self.reader = size, ids, reader or read

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, place):
        if isinstance(place, int):
            return self[place : place + 1][0]
        start, stop, _ = place.indices(self.size)
        return self.reader(self.ids(start, stop)) if start < stop else []

    def __iter__(self) -> Iterator[Paper]:
        for start in range(0, self.size, CHUNK):
            yield from self[start : start + CHUNK]


def read(ids: list[int]) -> list[Paper]:
    """These papers in this order, in a constant number of queries; one that is gone meanwhile is left out."""
    if not ids:
        return []
    found = {
        paper.pk: paper for paper in with_evidence(Paper.objects.filter(pk__in=ids)).in_full().defer("search")
    }
    return [found[number] for number in ids if number in found]


def counted(rows, column):
    """A count by subquery, so that two counts on one row can't multiply each other."""
    numbers = rows.order_by().values(column).annotate(n=Count("pk")).values("n")
    return Coalesce(Subquery(numbers), Value(0))


def with_evidence(papers):
    """Each paper gets `claimed` and `measured` (counts) and `headline` (the latest headline's verdict)."""
    measured = Measurement.objects.scored().filter(run__paper=OuterRef("pk"))
    newest = measured.filter(headline=True).order_by("-run__finished", "-pk")
    return papers.annotate(
        claimed=counted(Claim.objects.filter(paper=OuterRef("pk")), "paper"),
        measured=counted(measured, "run__paper"),
        headline=Subquery(newest.values("verdict")[:1]),
        headline_recipe=Subquery(newest.values("run__recipe")[:1]),
    )
