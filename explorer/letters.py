"""One e-mail for each submission, once all that could be read in it is decided; and how people stop them.

The row is the truth: a conditional update takes a letter up, so two tasks never send it twice, and one that
the mail server did not take is put back for the next time.
"""

import logging
from smtplib import SMTPException

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core import signing
from django.core.mail import EmailMessage
from django.db.models import Exists, OuterRef, Q
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone

from explorer.models import NoLetters
from papers.models import Entry, Submission

log = logging.getLogger(__name__)
SALT = "no-letters"
AT_ONCE = 100  # a time, so that a mail server that hangs is not asked for ever
MOST_LINES = 200


def send_due():
    """Write to everybody whose submission is decided. How many were sent."""
    return sum(send(pk) for pk in due().values_list("pk", flat=True)[:AT_ONCE])


def due():
    """Decided submissions of which nobody was told. What could not be read is never decided on."""
    entries = Entry.objects.filter(submission=OuterRef("pk"))
    waiting = entries.filter(~Q(found=Entry.Found.INVALID), decision=Entry.Decision.PENDING)
    decided = entries.exclude(decision=Entry.Decision.PENDING)
    untold = Submission.objects.filter(told=None, submitted_by__isnull=False)
    return untold.filter(~Exists(waiting), Exists(decided)).order_by("pk")


def send(pk):
    """Take the letter of a submission up, if nobody has, and send it. False if it was not sent now."""
    if not due().filter(pk=pk).update(told=timezone.now()):
        return False
    submission = Submission.objects.select_related("submitted_by").defer("text").get(pk=pk)
    if not wants_letters(submission.submitted_by):
        return False
    try:
        letter(submission).send()
    except (SMTPException, OSError) as error:
        log.warning("The letter about submission %s was not sent: %s", pk, error)
        Submission.objects.filter(pk=pk).update(told=None)
        return False
    return True


def letter(submission):
    stop = settings.SITE_URL + reverse("stop_letters", args=[stop_token(submission.submitted_by)])
    entries = submission.entries.select_related("paper")
    shown = {"submission": submission, "entries": entries[:MOST_LINES], "more": entries.count() - MOST_LINES}
    shown |= {"site": settings.SITE_URL, "stop": stop}
    return EmailMessage(
        f"Spectrum: your submission {submission.pk} is decided",
        render_to_string("letters/decided.txt", shown),
        to=[submission.submitted_by.email],
        headers={"List-Unsubscribe": f"<{stop}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"},
    )


def wants_letters(user):
    return bool(user.email and user.is_active) and not stopped(user)


def stopped(user):
    return NoLetters.objects.filter(user=user).exists()


def choose(user, wanted):
    """Have letters or none from now on. Saying it twice is saying it once."""
    if wanted:
        NoLetters.objects.filter(user=user).delete()
    else:
        NoLetters.objects.get_or_create(user=user)


def stop_token(user):
    return signing.dumps(user.pk, salt=SALT)


def user_of(token):
    """Whose letters a link stops; None for a link that we did not make, or of somebody who has left."""
    try:
        pk = signing.loads(token, salt=SALT)
    except signing.BadSignature:
        return None
    return get_user_model().objects.filter(pk=pk).first()
