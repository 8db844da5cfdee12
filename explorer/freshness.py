"""When anything that a list of papers shows last changed: what conditional requests compare."""

from datetime import UTC, datetime
from typing import NamedTuple

from django.db.models import Max

from papers.models import Change, Claim, Paper
from reproduce.models import Measurement, Run

BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)


class State(NamedTuple):
    version: int  # rises with every change
    changed: datetime


def state():
    """A stub until search keeps count itself: the newest rows of what only grows."""
    newest = [model.objects.order_by().aggregate(n=Max("pk"))["n"] for model in (Change, Claim, Measurement)]
    papers = Paper.objects.order_by().aggregate(pk=Max("pk"), at=Max("changed"))
    runs = Run.objects.order_by().aggregate(at=Max("finished"))
    times = [time for time in (papers["at"], runs["at"]) if time]
    return State(sum(filter(None, [*newest, papers["pk"]])), max(times, default=BEGINNING))
