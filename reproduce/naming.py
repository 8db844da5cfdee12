"""The names of people in the history of runs, which is text: what to do when somebody leaves."""

from django.db.models import Value
from django.db.models.functions import Concat, Substr

from reproduce.models import Run, RunEvent, Worker

BEFORE_IT_STARTED = "cancelled by {} before it started"
ASKED_TO_CANCEL = "{} asked to cancel"
CONTRIBUTED = "contributed by {}"


def rename(old: str, new: str) -> None:
    """Put `new` where the history of runs names the person `old`: in our own sentences, never in theirs."""
    for told in (BEFORE_IT_STARTED, ASKED_TO_CANCEL, CONTRIBUTED):
        RunEvent.objects.filter(why=told.format(old)).update(why=told.format(new))
    sentence = CONTRIBUTED.format(old)
    with_reason = RunEvent.objects.filter(why__startswith=f"{sentence}: ")
    with_reason.update(why=Concat(Value(CONTRIBUTED.format(new)), Substr("why", len(sentence) + 1)))
    told = BEFORE_IT_STARTED.format(old)
    Run.objects.filter(message=told).update(message=BEFORE_IT_STARTED.format(new))
    RunEvent.objects.filter(who=old).update(who=new)
    Worker.objects.filter(ordered_by=old).update(ordered_by=new)
