"""Looking up what identifiers alone do not say. The rows are the work: asked, tried again, kept, given on.

A row of Lookup is one question to one source. It ends as found, nothing or failed; then the next is asked.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import timedelta

from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from papers import pacing
from papers.changes import Refused
from papers.completion import complete
from papers.facts import Facts
from papers.fetching import Unanswered
from papers.identifiers import Name
from papers.models import Entry, Lookup
from papers.sources import ORDER, SOURCES, Source, after
from papers.sources.asking import ask
from papers.sources.reading import Unreadable

MOST_ATTEMPTS = 5
FIRST_PAUSE_S, PAUSE_GROWS = 60, 4  # 1, 4, 16, 64 min between the attempts
MOST_ENTRIES, COMPLETING_S = 500, 15
State = Lookup.State

# Entries whose identifiers nobody was asked about, or only long before they came in.
_UNASKED = """
SELECT name ->> 0, name ->> 1 FROM papers_entry entry
JOIN papers_submission submission ON submission.id = entry.submission_id
CROSS JOIN LATERAL jsonb_array_elements(entry.fields -> 'identifiers') name
WHERE entry.found = 'incomplete' AND entry.decision = 'pending' AND name ->> 0 = ANY(%s)
  AND NOT EXISTS (
    SELECT FROM jsonb_array_elements(entry.fields -> 'identifiers') other WHERE (
      SELECT true FROM papers_lookup lookup
      WHERE lookup.scheme = other ->> 0 AND lookup.value = other ->> 1
        AND (lookup.state IN ('waiting', 'found') OR lookup.tried > submission.created - interval '1 day')
      LIMIT 1)) -- a limit, so that it is looked up in the index and not joined
ORDER BY entry.id LIMIT %s
"""
_ANSWERED = """
SELECT DISTINCT ON (entry.id) entry.id, lookup.id FROM papers_entry entry
CROSS JOIN LATERAL jsonb_array_elements(entry.fields -> 'identifiers') name
JOIN papers_lookup lookup ON lookup.scheme = name ->> 0 AND lookup.value = name ->> 1
WHERE entry.found = 'incomplete' AND entry.decision = 'pending' AND lookup.state = 'found'
ORDER BY entry.id, lookup.id LIMIT %s
"""


def look_up_entries(until: float) -> None:
    """Ask about the entries that wait for their metadata, and give them what was found."""
    want(_rows(_UNASKED, list(ORDER), MOST_ENTRIES))
    ask_due(until)
    complete_entries(time.monotonic() + COMPLETING_S)


def want(names: Iterable[Sequence[str]], source: str | None = None) -> None:
    """Order an answer about each, of its first source or a certain one, also where there is an old one."""
    orders = [
        Lookup(source=source or ORDER[scheme][0], scheme=scheme, value=value)
        for scheme, value in dict.fromkeys(map(tuple, names))
        if scheme in ORDER
    ]
    anew = ["state", "attempts", "next_try", "delivered"]
    Lookup.objects.bulk_create(
        orders, 500, update_conflicts=True, update_fields=anew, unique_fields=["scheme", "value", "source"]
    )


def complete_entries(until: float) -> None:
    """Give entries the answers that are there, whoever asked for them, while time is left."""
    pairs = dict(_rows(_ANSWERED, MOST_ENTRIES))
    entries, lookups = Entry.objects.in_bulk(pairs), Lookup.objects.in_bulk(set(pairs.values()))
    for entry_id, entry in entries.items():
        if time.monotonic() >= until:
            return
        lookup = lookups[pairs[entry_id]]
        note = f"Completed from {SOURCES[lookup.source].label}, asked on {lookup.tried:%d %B %Y}."
        try:
            complete(entry, Facts.from_json(lookup.facts), notes=[note])
        except Refused as refused:
            _end(lookup, State.NOTHING, str(refused))


def again(entry: Entry) -> bool:
    """Order anew what nobody knew or answered about an entry; whether there was anything."""
    if entry.found != Entry.Found.INCOMPLETE or entry.decision != Entry.Decision.PENDING:
        return False
    kept = {State.WAITING, State.FOUND}
    names = {tuple(name) for name in entry.fields.get("identifiers", []) if name[0] in ORDER}
    names -= {(row.scheme, row.value) for row in tried([entry])[entry.pk] if row.state in kept}
    want(sorted(names))
    return bool(names)


def ask_due(until: float) -> None:
    """Ask each source what is due, as long as it is its turn and time is left."""
    for source in SOURCES.values():
        while time.monotonic() < until and (due := _due(source)):
            try:
                _ask(source, due)
            except pacing.NotYet:
                break


def tried(entries: Iterable[Entry]) -> dict[int, list[Lookup]]:
    """What was asked about each entry, by its id; one query for all."""
    names = {entry.pk: {tuple(name) for name in entry.fields.get("identifiers", [])} for entry in entries}
    values = {value for some in names.values() for _, value in some}
    by_name: dict[Name, list[Lookup]] = defaultdict(list)
    for lookup in Lookup.objects.filter(scheme__in=ORDER, value__in=values).order_by("pk") if values else ():
        by_name[lookup.scheme, lookup.value].append(lookup)
    return {pk: [lookup for name in sorted(some) for lookup in by_name[name]] for pk, some in names.items()}


def _due(source: Source) -> list[Lookup]:
    """What goes into the next request: the oldest, and others that were tried as often.

    After a fault it is asked with fewer others, at last alone, so that one bad id sinks no other.
    """
    waiting = Lookup.objects.filter(source=source.name, state=State.WAITING, next_try__lte=timezone.now())
    waiting = waiting.order_by("next_try", "pk")
    first = waiting.first()
    if first is None:
        return []
    return list(waiting.filter(attempts=first.attempts)[: max(1, source.batch >> 2 * first.attempts)])


def _ask(source: Source, due: list[Lookup]) -> None:
    names = [(lookup.scheme, lookup.value) for lookup in due]
    try:
        body = ask(source, source.path(names))
        found = source.read(body, names) if body is not None else {}
    except (Unanswered, Unreadable) as fault:
        wait_s = getattr(fault, "wait_s", 0)
        for lookup in due:
            _try_later(lookup, str(fault), wait_s)
        return
    for lookup, name in zip(due, names, strict=True):
        if facts := found.get(name):
            _end(lookup, State.FOUND, "", facts)
        else:
            _end(lookup, State.NOTHING, f"{source.label} knows nothing of it.")


def _try_later(lookup: Lookup, fault: str, wait_s: float) -> None:
    attempts = lookup.attempts + 1
    if attempts >= MOST_ATTEMPTS:
        _end(lookup, State.FAILED, fault)
        return
    pause_s = max(wait_s, FIRST_PAUSE_S * PAUSE_GROWS ** (attempts - 1))
    now = timezone.now()
    later = {"attempts": attempts, "fault": fault, "tried": now, "next_try": now + timedelta(seconds=pause_s)}
    _as_it_was(lookup).update(**later)


@transaction.atomic
def _end(lookup: Lookup, state: str, fault: str, facts: Facts | None = None) -> None:
    """Settle it, and ask the next source where this one did not know."""
    ended = {"state": state, "fault": fault, "delivered": False, "attempts": lookup.attempts + 1}
    ended |= {"tried": timezone.now()}
    ended |= {"facts": facts.to_json()} if facts else {}
    if _as_it_was(lookup).update(**ended) and state != State.FOUND:
        following = after(lookup.source, lookup.scheme)
        name = {"scheme": lookup.scheme, "value": lookup.value}
        if following and not Lookup.objects.filter(source=following, state=State.FOUND, **name).exists():
            want([(lookup.scheme, lookup.value)], following)


def _as_it_was(lookup: Lookup) -> QuerySet[Lookup]:
    """The row, unless somebody else has written to it since: two askers count one attempt."""
    return Lookup.objects.filter(pk=lookup.pk, state=lookup.state, attempts=lookup.attempts)


def _rows(statement: str, *given: object) -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute(statement, given)
        return cursor.fetchall()
