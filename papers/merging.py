"""Two papers that turn out to be one: all that hangs on the one goes to the other, and all of it can go back.

Whatever row of whatever app refers to a paper moves, found by the models themselves; nobody need be asked.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.contrib.auth.models import AbstractBaseUser
from django.db import models, transaction
from django.utils.dateparse import parse_datetime

from papers import records
from papers.changes import Refused, begin, record
from papers.facts import Facts
from papers.identity import title_key
from papers.models import Change, Claim, FormerKey, Paper
from papers.proposals import free_slug

ACTION = "merge_papers"
FILLABLE = ("authors", "month", "venue", "abstract", "url", "code_url")


@dataclass(frozen=True)
class Plan:
    """What a merge would do: facts of `kept` before and after, rows that move by kind, claims that do."""

    before: dict[str, Any]
    after: dict[str, Any]
    rows: dict[str, int]
    claims: list[tuple[Claim, str]]  # and its new name within the kept paper


def plan(kept: Paper, other: Paper) -> Plan:
    """The dry run. Raises Refused where the two cannot be merged."""
    _refuse_wrong_way(kept, other)
    before, after = records.difference(Facts.of(kept).to_json(), gained(kept, other))
    rows = {}
    for model, field in _referring():
        if number := _those_of(model, field, other).count():
            rows[str(model._meta.verbose_name if number == 1 else model._meta.verbose_name_plural)] = number
    return Plan(before, after, rows, _renamed(kept, other))


@transaction.atomic
def merge_papers(kept: Paper, other: Paper, *, who: AbstractBaseUser, why: str) -> Change:
    """Make one paper of two. The address of `other` leads to `kept` for ever. Raises Refused."""
    begin(who)
    if not why.strip():
        raise Refused("Say why; the change is public.")
    # Locked, so that nothing can come to refer to a paper that is about to go.
    here = {paper.pk: paper for paper in Paper.objects.select_for_update().filter(pk__in=[kept.pk, other.pk])}
    if len(here) < 2:
        raise Refused("These are not two papers that are here; one may have been merged a moment ago.")
    kept, other = here[kept.pk], here[other.pk]
    planned = plan(kept, other)
    former = {**Facts.of(other).to_json(), "id": other.pk, "origin": other.origin}
    former["added"] = other.added.isoformat()
    claims = _move_claims(kept, planned)
    moved = {
        f"{model._meta.label}.{field}": _move(model, field, other, kept) for model, field in _referring()
    }
    other.delete()
    FormerKey.objects.create(key=former["key"], paper=kept)
    records.update(kept, planned.after)
    kept_back = {"merged": other.key, "former": former, "claims": claims, "moved": moved}
    change = record(
        ACTION, kept, who=who, why=why.strip(), before=planned.before, after=planned.after | kept_back
    )
    change.save()
    return change


def part(change: Change, kept: Paper) -> None:
    """Undo merge_papers(), but for the facts of `kept`: the other is as it was, with all that was its own."""
    former = change.after["former"]
    FormerKey.objects.filter(key=former["key"], paper=kept).delete()
    other = _reborn(former)
    for pk, slug, position in change.after["claims"]:
        Claim.objects.filter(pk=pk, paper=kept).update(paper=other, slug=slug, position=position)
    for name, pks in change.after["moved"].items():
        label, field = name.rsplit(".", 1)
        rows = apps.get_model(label)._base_manager.filter(**{"pk__in": pks, field: kept})
        rows.update(**{field: other})


def gained(kept: Paper, other: Paper) -> dict[str, Any]:
    """Facts of `kept` as they would be: what it lacks comes from `other`, and of lists it has both."""
    mine, theirs = Facts.of(kept), Facts.of(other)
    facts = filled(mine, theirs)
    facts["identifiers"] = sorted(mine.identifiers + theirs.identifiers)
    facts["techniques"] = [t.slug for t in (kept.techniques.all() | other.techniques.all()).distinct()]
    facts["sources"] = mine.sources + [source for source in theirs.sources if source not in mine.sources]
    return facts


def filled(here: Facts, other: Facts) -> dict[str, Any]:
    """What `here` lacks and `other` tells, by name: single facts, and more fields of BibTeX among details."""
    facts: dict[str, Any] = {
        name: getattr(other, name) for name in FILLABLE if getattr(other, name) and not getattr(here, name)
    }
    if "authors" in facts:
        facts["authors_complete"] = other.authors_complete
    if any(name not in here.details for name in other.details):
        facts["details"] = other.details | here.details
    return facts


def _refuse_wrong_way(kept: Paper, other: Paper) -> None:
    if kept.pk == other.pk:
        raise Refused("That is one paper, and not two.")
    if other.origin == Paper.Origin.CURATED != kept.origin:
        raise Refused(f"“{other.title}” is in the corpus files and the other is not: keep that one instead.")


def _referring() -> Iterator[tuple[type[models.Model], str]]:
    """Every model with a column that refers to papers, hidden relations too; claims are moved by name."""
    for relation in Paper._meta.get_fields(include_hidden=True):
        if (
            not relation.auto_created
            or relation.concrete
            or not (relation.one_to_many or relation.one_to_one)
        ):
            continue
        if relation.related_model is not Claim and not relation.related_model._meta.auto_created:
            yield relation.related_model, relation.field.name


def _those_of(model: type[models.Model], field: str, paper: Paper) -> models.QuerySet:
    return model._base_manager.filter(**{field: paper})


def _move(model: type[models.Model], field: str, other: Paper, kept: Paper) -> list[int]:
    rows = _those_of(model, field, other)
    pks = list(rows.order_by("pk").values_list("pk", flat=True))
    rows.update(**{field: kept})
    return pks


def _renamed(kept: Paper, other: Paper) -> list[tuple[Claim, str]]:
    """The claims of `other`, each with a name that is free in `kept`."""
    taken = set(kept.claims.values_list("slug", flat=True))
    found = []
    for claim in other.claims.all():
        slug = claim.slug if claim.slug not in taken else free_slug(claim.metric, taken)
        taken.add(slug)
        found.append((claim, slug))
    return found


def _move_claims(kept: Paper, planned: Plan) -> list[list[Any]]:
    """Behind those of `kept`. Returns id, old name and old position of each."""
    first = max(kept.claims.values_list("position", flat=True), default=-1) + 1
    for number, (claim, slug) in enumerate(planned.claims):
        Claim.objects.filter(pk=claim.pk).update(paper=kept, slug=slug, position=first + number)
    return [[claim.pk, claim.slug, claim.position] for claim, _ in planned.claims]


def _reborn(former: dict[str, Any]) -> Paper:
    facts = Facts.from_json(former)
    own = {"id": former["id"], "key": facts.key, "origin": former["origin"]}
    other = Paper.objects.create(**own, title_key=title_key(facts.title), **facts.columns())
    Paper.objects.filter(pk=other.pk).update(added=parse_datetime(former["added"]))
    records.update(other, {"techniques": facts.techniques})
    return other
