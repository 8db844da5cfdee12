"""One request to a source in its turn. Whatever goes wrong is Unanswered, with a sentence for the row."""

from urllib.parse import urlsplit

from django.conf import settings

from papers.fetching import Unanswered, fetch
from papers.pacing import turn
from papers.sources import Source
from papers.sources.reading import MOST_BYTES

TOO_OFTEN = {403, 429}  # arXiv and OpenAlex say 403 too
BUSY = {*TOO_OFTEN, 500, 502, 503, 504}
WAIT_S = 60
PATIENCE_S = 4


def ask(source: Source, path: str) -> bytes | None:
    """The body of its answer, None when it knows nothing of it. Raises Unanswered, and pacing.NotYet."""
    with turn(
        source.name,
        pause_s=source.pause_s,
        at_most_s=settings.LOOKUPS.timeout_s + 30,  # finding a name's address may take long
        per_day=source.per_day,
        patience_s=PATIENCE_S,
    ) as held:
        host = urlsplit(source.address).hostname or ""
        answer = fetch(source.address + path, hosts={host}, most_bytes=MOST_BYTES, accept=source.accept)
        if answer.status in BUSY:
            # Everybody waits, not only who was told.
            held.pause_s = max(source.pause_s, answer.wait_s or WAIT_S * (answer.status in TOO_OFTEN))
            raise Unanswered(f"{source.label} is busy (status {answer.status}).", answer.wait_s)
    if answer.status in {404, 410}:
        return None
    if answer.status != 200:
        raise Unanswered(f"{source.label} answered with status {answer.status}.")
    return answer.body
