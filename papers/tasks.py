"""What the clock asks of this domain: errands to other sites, one round at a time."""

import time
from typing import Any

from celery import shared_task
from django.conf import settings

from papers import links, lookup, pacing, refreshing, watching

ROUND_S = 240  # a round that lasts longer was lost with its process
LOOKUPS_S, LINKS_S = 20, 15


@shared_task
def errands() -> None:
    """Whatever is due of what the operator turned on. Twice does no harm: one at a time goes out."""
    try:
        with pacing.turn("errands", pause_s=0, at_most_s=ROUND_S):
            _go(settings.LOOKUPS)
    except pacing.NotYet:
        return


def _go(on: Any) -> None:
    if on.watch_arxiv:
        watching.watch()
    if on.refresh_metadata:
        refreshing.ask_again()
    if on.lookup:
        lookup.look_up_entries(time.monotonic() + LOOKUPS_S)
    elif on.refresh_metadata:
        lookup.ask_due(time.monotonic() + LOOKUPS_S)
    if on.refresh_metadata:
        refreshing.compare()
    if on.check_links:
        links.check_links(time.monotonic() + LINKS_S)
