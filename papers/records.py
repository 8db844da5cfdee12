"""The rows behind papers and claims, written in bulk. Called by moderation.py and undoing.py alone."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.forms.models import model_to_dict
from django.utils import timezone

from papers.facts import COLUMNS, Facts
from papers.identity import title_key
from papers.models import Claim, Identifier, Paper, Technique

CLAIM_FIELDS = [
    field.name for field in Claim._meta.concrete_fields if field.name not in {"id", "paper", "provenance"}
]
BATCH = 500


def insert(many: Sequence[Facts], origin: str) -> list[Paper]:
    """Store new papers with their identifiers and techniques; keys and identifiers must be free."""
    papers = Paper.objects.bulk_create(
        [
            Paper(key=facts.key, origin=origin, title_key=title_key(facts.title), **facts.columns())
            for facts in many
        ],
        batch_size=BATCH,
    )
    pairs = list(zip(papers, many, strict=True))
    _add_identifiers((paper, facts.identifiers) for paper, facts in pairs)
    _add_techniques((paper, facts.techniques) for paper, facts in pairs)
    return papers


def update(paper: Paper, values: Mapping[str, Any]) -> None:
    """Give a paper new values of some facts, by their names in Facts; lists replace what was there."""
    columns = {name: value for name, value in values.items() if name in COLUMNS}
    if "title" in columns:
        columns["title_key"] = title_key(columns["title"])
    for name, value in columns.items():
        setattr(paper, name, value)
    paper.changed = timezone.now()
    paper.save(update_fields=[*columns, "changed"])
    if "identifiers" in values:
        wanted = {tuple(name) for name in values["identifiers"]}
        for stored in paper.identifiers.all():
            if (stored.scheme, stored.value) not in wanted:
                stored.delete()
            wanted.discard((stored.scheme, stored.value))
        _add_identifiers([(paper, sorted(wanted))])
    if "techniques" in values:
        paper.techniques.set(Technique.objects.filter(slug__in=values["techniques"]))


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What differs, before and after."""
    names = [name for name in new if old.get(name) != new[name]]
    return {name: old.get(name) for name in names}, {name: new[name] for name in names}


def claim_values(claim: Claim) -> dict[str, Any]:
    return model_to_dict(claim, fields=CLAIM_FIELDS)


def update_claim(claim: Claim, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        setattr(claim, name, value)
    claim.save(update_fields=list(values))


def _add_identifiers(pairs: Iterable[tuple[Paper, Iterable[Sequence[str]]]]) -> None:
    rows = [
        Identifier(paper=paper, scheme=scheme, value=value)
        for paper, names in pairs
        for scheme, value in names
    ]
    Identifier.objects.bulk_create(rows, batch_size=BATCH)


def _add_techniques(pairs: Iterable[tuple[Paper, Iterable[str]]]) -> None:
    ids = dict(Technique.objects.values_list("slug", "pk"))
    through = Paper.techniques.through
    rows = [through(paper_id=paper.pk, technique_id=ids[slug]) for paper, slugs in pairs for slug in slugs]
    through.objects.bulk_create(rows, batch_size=BATCH)
