"""What the clock asks of the surface: the index stored anew, no text unread, people told of decisions."""

from celery import shared_task

from explorer import indexing, letters
from explorer.models import Base, Touched
from papers import intake

MOST_TOUCHED = 20_000  # beyond it a new web process would read for seconds before its first answer


@shared_task
def read_submissions():
    """Read on where whoever sent a large text has left its page. Twice does no harm."""
    for submission in intake.unread():
        intake.read_on(submission)


@shared_task
def fold_index():
    """Store a new base where it is worth it. Twice does no harm."""
    if Touched.objects.count() > MOST_TOUCHED or is_outdated():
        indexing.build()


@shared_task
def send_letters():
    """Write to whoever's submission is decided. Twice does no harm, and what was missed is sent next time."""
    letters.send_due()


def is_outdated():
    """Whether everything may have changed since the base, so that new processes read all papers after all."""
    base = Base.objects.order_by("-pk").first()
    return base is not None and Touched.objects.filter(paper_id=None, stamp__gte=base.stamp).exists()
