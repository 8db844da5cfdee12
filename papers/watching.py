"""New papers on arXiv, by saved queries: what is not here yet goes to the moderators, once."""

from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from papers import bibtex, identity, intake, pacing
from papers.facts import Facts
from papers.fetching import Unanswered
from papers.models import SavedQuery, Sighting, Submission
from papers.sources import SOURCES
from papers.sources.arxiv import read_feed, search_path
from papers.sources.asking import ask
from papers.sources.reading import Unreadable

EACH, AFTER_FAULT = timedelta(days=1), timedelta(hours=2)  # arXiv has new papers once a day


def watch() -> None:
    """Ask the one query that has waited longest, if any is due."""
    due = SavedQuery.objects.filter(on=True, next_try__lte=timezone.now()).select_related("technique")
    if query := due.order_by("next_try", "pk").first():
        _ask(query)


def _ask(query: SavedQuery) -> None:
    fault, pause = "", EACH
    try:
        body = ask(SOURCES["arxiv"], search_path(query.text))
        send([facts for _, facts in read_feed(body or b"")], query)
    except pacing.NotYet:
        return
    except (Unanswered, Unreadable, intake.Refused) as error:
        fault, pause = str(error), max(AFTER_FAULT, timedelta(seconds=getattr(error, "wait_s", 0)))
    now = timezone.now()
    SavedQuery.objects.filter(pk=query.pk).update(tried=now, fault=fault, next_try=now + pause)


@transaction.atomic
def send(found: list[Facts], query: SavedQuery) -> Submission | None:
    """A submission of those that are neither here nor were ever sighted; None when there is none."""
    here = identity.match_all(found)
    fresh = [facts for facts, match in zip(found, here, strict=True) if not match and _sight(facts, query)]
    if not fresh:
        return None
    keys: set[str] = set()
    for facts in fresh:
        facts.key = identity.make_key(facts, keys)
        keys.add(facts.key)
        facts.techniques = [query.technique.slug] if query.technique else []
    note = f"Found by the saved query “{query.text}” on arXiv."
    return intake.submit("\n".join(bibtex.write(fresh)), who=None, note=note)


def _sight(facts: Facts, query: SavedQuery) -> bool:
    """Whether this is the first time; of two processes one gets True."""
    arxiv = next(value for scheme, value in facts.identifiers if scheme == "arxiv")
    return Sighting.objects.get_or_create(arxiv=arxiv, defaults={"query": query})[1]
