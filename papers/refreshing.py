"""Preprints that got published: the sources are asked about them again and again, and changes are proposed.

arXiv names the DOI that authors added, OpenAlex puts versions together; Crossref knows a DOI's venue.
"""

from collections.abc import Iterable
from datetime import timedelta

from django.db.models import Exists, OuterRef
from django.utils import timezone

from papers import updates
from papers.facts import Facts
from papers.identity import title_key
from papers.lookup import want
from papers.models import Identifier, Lookup, Paper
from papers.sources import SOURCES, after

AGAIN = timedelta(days=30)
MOST, MOST_DELIVERED = 50, 200
State = Lookup.State


def ask_again() -> None:
    """Order answers about preprints that nobody asked about for long, unless enough is on order."""
    if Lookup.objects.filter(state=State.WAITING).exists():
        return
    lately = Lookup.objects.filter(source="arxiv", scheme="arxiv", tried__gt=timezone.now() - AGAIN)
    doi = Identifier.objects.filter(scheme="doi", paper=OuterRef("paper"))
    due = Identifier.objects.filter(~Exists(doi), scheme="arxiv")
    due = due.filter(~Exists(lately.filter(value=OuterRef("value")))).order_by("pk")
    want(due.values_list("scheme", "value")[:MOST])


def compare() -> None:
    """Hold settled answers against the papers that are here, each answer once."""
    settled = Lookup.objects.exclude(state=State.WAITING).filter(delivered=False).order_by("pk")
    for lookup in settled[:MOST_DELIVERED]:
        if lookup.scheme == "arxiv":
            _of_preprint(lookup)
        elif lookup.scheme == "doi":
            _of_doi(lookup)
        Lookup.objects.filter(pk=lookup.pk, state=lookup.state, tried=lookup.tried).update(delivered=True)


def _of_preprint(lookup: Lookup) -> None:
    """A DOI that the paper lacks is looked up; no DOI, and the next source may know one."""
    paper = Paper.objects.filter(identifiers__scheme="arxiv", identifiers__value=lookup.value).first()
    if paper is None or lookup.state != State.FOUND:
        return
    here = {item.value for item in paper.identifiers.all() if item.scheme == "doi"}
    named = _dois(lookup)
    want([("doi", doi) for doi in named if doi not in here])
    following = after(lookup.source, lookup.scheme)
    if not named and not here and following:
        want([("arxiv", lookup.value)], following)


def _of_doi(lookup: Lookup) -> None:
    """What a preprint's DOI is, or, when nobody knows it, the DOI alone."""
    if lookup.state != State.FOUND and after(lookup.source, lookup.scheme):
        return  # the next source is asked first
    for naming in Lookup.objects.filter(
        scheme="arxiv", state=State.FOUND, facts__identifiers__contains=[["doi", lookup.value]]
    ):
        paper = Paper.objects.filter(identifiers__scheme="arxiv", identifiers__value=naming.value).first()
        if paper:
            _propose(paper, naming, lookup)


def _propose(paper: Paper, naming: Lookup, lookup: Lookup) -> None:
    record = Facts.from_json(lookup.facts) if lookup.state == State.FOUND else None
    who, whose = SOURCES[naming.source].label, SOURCES[lookup.source].label
    said = f"{who} gives arXiv:{naming.value} the DOI {lookup.value}"
    if record is None:
        said += f"; {lookup.fault or 'its record could not be read.'}"
    elif title_key(record.title) == title_key(paper.title):
        said += f"; {whose} has the same title under it."
    else:
        said += f", but {whose} has another title under it: “{record.title}”."
    updates.published(paper, lookup.value, record, said)


def _dois(lookup: Lookup) -> Iterable[str]:
    return [value for scheme, value in lookup.facts["identifiers"] if scheme == "doi"]
