"""Entries whose metadata is to be completed: what they lack, and giving it to them, by look-up or by hand."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from django.db import transaction
from django.db.models import Q

from papers import identity, intake
from papers.changes import Refused
from papers.facts import Facts
from papers.models import Entry

COMPLETABLE = (Entry.Found.INCOMPLETE, Entry.Found.INVALID)
_UNITED = ("identifiers", "techniques", "sources")


def may_be_completed(entry: Entry) -> bool:
    return entry.decision == Entry.Decision.PENDING and entry.found in COMPLETABLE


@transaction.atomic
def complete(entry: Entry, facts: Facts, *, notes: Sequence[str] = ()) -> Entry | None:
    """Give an entry the facts that it lacked, and judge anew whether it is here.

    `facts` win over what was read; identifiers, techniques and sources are united. Returns the entry as it is
    now, or None when it no longer waits: somebody completed or decided it first. Raises Refused, and changes
    nothing, while something is still lacking.
    """
    whole = united(Facts.from_json(entry.fields), facts)
    if lacks := lacking(whole):
        raise Refused(f"{' and '.join(lacks)} still missing.".capitalize())
    found, reason, paper = intake.judge(whole, identity.index_around([whole]), _siblings(entry, whole))
    fields = whole.to_json() | {"notes": [*entry.fields.get("notes", []), *notes]}
    waiting = Entry.objects.filter(pk=entry.pk, decision=Entry.Decision.PENDING, found__in=COMPLETABLE)
    if not waiting.update(fields=fields, found=found, reason=reason, paper=paper):
        return None
    return Entry.objects.select_related("paper", "submission").get(pk=entry.pk)


def lacking(facts: Facts) -> list[str]:
    """What a paper must have and these facts have not, as words."""
    wanted = {
        "title": facts.title,
        "authors": facts.authors or not facts.authors_complete,
        "year": facts.year is not None and 1900 <= facts.year <= 2100,
    }
    return [name for name, given in wanted.items() if not given]


def united(read: Facts, given: Facts) -> Facts:
    """What was read, with what was given laid over it."""
    values: dict[str, Any] = {name: value for name, value in given.to_json().items() if value}
    if not given.authors_complete:
        values["authors_complete"] = False
    values |= {
        name: [
            *getattr(read, name),
            *(item for item in getattr(given, name) if item not in getattr(read, name)),
        ]
        for name in _UNITED
    }
    values["identifiers"].sort()
    values["details"] = read.details | given.details
    values["verified"] = given.verified
    return replace(read, **values)


def _siblings(entry: Entry, facts: Facts) -> identity.Index[int]:
    """The other entries of its submission that could be the same and are in the queue themselves."""
    alike = Q(fields__title__iexact=facts.title)
    for name in facts.identifiers:
        alike |= Q(fields__identifiers__contains=[name])
    others = Entry.objects.filter(alike, submission=entry.submission_id).exclude(pk=entry.pk)
    others = others.exclude(found__in=[*COMPLETABLE, Entry.Found.KNOWN])
    index: identity.Index[int] = identity.Index()
    for position, fields in others.values_list("position", "fields"):
        index.add(Facts.from_json(fields), position)
    return index
