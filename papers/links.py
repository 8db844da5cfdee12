"""Whether the addresses that papers give still lead anywhere: asked by HEAD, else GET; no body is read."""

import time
from datetime import timedelta

from django.db import connection
from django.utils import timezone

from papers import pacing
from papers.fetching import Answer, Forbidden, Unanswered, fetch
from papers.models import Link, Paper

EACH = timedelta(days=30)
AGAIN = timedelta(days=1)  # after a miss, and a day longer after each further one
MISSES = 3  # in a row, before an address that does not answer counts as broken
GONE, CLOSED = {404, 410}, {401, 403, 405, 406, 418, 429, 451, 503}
State = Link.State

_LIST = """
INSERT INTO papers_link (address, state, fault, misses, next_try)
SELECT DISTINCT address, 'new', '', 0, now() FROM papers_paper, unnest(ARRAY[url, code_url]) address
WHERE address <> '' ON CONFLICT (address) DO NOTHING
"""
_FORGET = """
DELETE FROM papers_link WHERE address NOT IN (SELECT unnest(ARRAY[url, code_url]) FROM papers_paper)
"""


def check_links(until: float) -> None:
    """Look at the addresses that are due, one after the other, while time is left."""
    _list()
    for link in Link.objects.filter(next_try__lte=timezone.now()).order_by("next_try", "pk")[:20]:
        if time.monotonic() >= until:
            return
        check(link)


def check(link: Link) -> None:
    """Ask one address, and keep what came of it."""
    state, fault = _look(link.address)
    if state == State.SILENT and link.misses + 1 >= MISSES:
        state = State.BROKEN
    now, missed = timezone.now(), state in {State.SILENT, State.BROKEN}
    kept = {"state": state, "fault": fault, "checked": now, "misses": link.misses + 1 if missed else 0}
    kept["next_try"] = now + (min(AGAIN * (link.misses + 1), EACH) if missed else EACH)
    if state == State.WORKS:
        kept["verified"] = now
    Link.objects.filter(pk=link.pk, checked=link.checked).update(**kept)


def of_paper(paper: Paper) -> dict[str, Link]:
    """What is known of its addresses, by address."""
    wanted = [address for address in (paper.url, paper.code_url) if address]
    return {link.address: link for link in Link.objects.filter(address__in=wanted)} if wanted else {}


def _list() -> None:
    """Once an hour: the addresses that papers give now."""
    try:
        with pacing.turn("listing links", pause_s=3600, at_most_s=300), connection.cursor() as cursor:
            cursor.execute(_LIST)
            cursor.execute(_FORGET)
    except pacing.NotYet:
        pass


def _look(address: str) -> tuple[str, str]:
    try:
        answer = fetch(address, method="HEAD")
        if answer.status >= 400:  # many sites answer HEAD wrongly
            answer = fetch(address)
    except Forbidden as error:
        return State.BROKEN, str(error)
    except Unanswered as error:
        return State.SILENT, str(error)
    return _judge(answer)


def _judge(answer: Answer) -> tuple[str, str]:
    if answer.status < 400:
        return State.WORKS, ""
    said = f"The site answered with status {answer.status}."
    if answer.status in GONE:
        return State.BROKEN, said
    return (State.CLOSED if answer.status in CLOSED else State.SILENT), said
