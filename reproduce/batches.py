"""Many runs asked for at once: one row for all of them, one progress, one cancel.

Each run is a transaction of its own, so a batch of any size holds nothing up, and whoever dies halfway
leaves a batch that shows what it has.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from django.contrib.auth.models import AbstractUser, AnonymousUser
from django.db import transaction
from django.db.models import Count
from django.db.models.functions import Now

from papers.models import Technique
from reproduce import catalogue, demand, doorbell, lifecycle, torches
from reproduce.demand import Refused
from reproduce.models import Batch, BatchMember, Run
from reproduce.operators import is_operator
from reproduce.recipes.spec import PRESETS

KINDS = {
    "all": "every recipe",
    "technique": "the recipes of one technique's papers",
    "changed": "what was last measured with another torch than the workers have now",
}
BEHIND = -6  # a run of a batch stands an hour behind one that somebody waits for: see HEAD_START_S
CANCELLED_FIRST = "The batch was cancelled before this was asked for."


@dataclass(frozen=True)
class Plan:
    """Which recipes a batch asks for, and which labels their workers must have."""

    title: str
    slugs: Sequence[str]
    labels: Sequence[str] = ()


@dataclass(frozen=True)
class Progress:
    """How many runs of a batch are in which state."""

    queued: int = 0
    running: int = 0
    done: int = 0
    failed: int = 0
    cancelled: int = 0

    @property
    def ended(self) -> int:
        return self.done + self.failed + self.cancelled

    @property
    def total(self) -> int:
        return self.ended + self.queued + self.running

    @property
    def is_done(self) -> bool:
        return self.ended == self.total


def ask(kind: str, *, preset: str, who: AbstractUser, technique: str = "", fresh: bool = False) -> Batch:
    """Ask for all runs of one of KINDS. What cannot be asked for is left out, and says why.

    Raises Refused where there is nothing to ask for.
    """
    if preset not in PRESETS:
        raise Refused({"preset": f"Choose one of: {', '.join(PRESETS)}."})
    if kind not in PLANS:
        raise Refused({"kind": f"Choose one of: {', '.join(KINDS)}."})
    plan = PLANS[kind](preset, technique)
    batch = Batch.objects.create(title=f"{plan.title[:180]}, {preset}", asked_by=who)
    fill(batch, plan, preset=preset, who=who, fresh=fresh)
    batch.refresh_from_db()
    return batch


def fill(batch: Batch, plan: Plan, *, preset: str, who: AbstractUser, fresh: bool = False) -> None:
    """Ask for each recipe of the plan that the batch does not have yet. Twice, or at once, does no harm."""
    asked = {"preset": preset, "typed": {}, "who": who, "fresh": fresh, "labels": plan.labels, "ring": False}
    new = [slug for slug in plan.slugs if _add(batch, slug, asked)]
    for device in sorted({catalogue.device_of(preset, catalogue.recipe(slug)) for slug in new}):
        doorbell.ring(device)


def recipes_of(technique: Technique) -> list[str]:
    """The slugs of the recipes that re-measure a paper of this technique."""
    papers = set(technique.papers.values_list("pk", flat=True))
    return [slug for slug, paper in catalogue.papers().items() if paper.pk in papers]


def progress_of_all(batches: Sequence[Batch]) -> dict[int, Progress]:
    """The progress of each batch by its id, in one query."""
    counts = {batch.pk: {} for batch in batches}
    members = BatchMember.objects.filter(batch__in=list(counts)).order_by()
    for pk, status, runs in members.values_list("batch", "run__status").annotate(Count("pk")):
        counts[pk][status] = runs
    return {pk: Progress(**of_batch) for pk, of_batch in counts.items()}


def progress(batch: Batch) -> Progress:
    """How far a batch is."""
    return progress_of_all([batch])[batch.pk]


def may_cancel(user: AbstractUser | AnonymousUser, batch: Batch) -> bool:
    """Whoever asked for a batch, and the operators, may cancel it."""
    return user.is_authenticated and (user == batch.asked_by or is_operator(user))


def cancel(batch: Batch, *, who: str) -> int:
    """Cancel what was queued for a batch, each run by itself; how many were told to end.

    Runs that it joined are somebody else's and go on. Twice does no harm.
    """
    Batch.objects.filter(pk=batch.pk, cancelled=None).update(cancelled=Now())
    own = Run.objects.filter(memberships__batch=batch, memberships__joined=False, cancel_requested=None)
    waiting = own.filter(status__in=["queued", "running"]).defer(*Run.HEAVY)
    return sum(lifecycle.request_cancel(run, who=who) for run in waiting)


def _add(batch: Batch, slug: str, asked: dict[str, object]) -> bool:
    """One recipe, its run and its membership at once. Whether a run was newly queued."""
    with transaction.atomic():
        now = Batch.objects.select_for_update().get(pk=batch.pk)
        if now.members.filter(run__recipe=slug).exists() or slug in {left["recipe"] for left in now.left_out}:
            return False
        try:
            if now.cancelled:
                raise Refused({"": CANCELLED_FIRST})
            run, new = demand.request_run(slug, **asked, priority=BEHIND)
        except Refused as refused:
            left_out = [*now.left_out, {"recipe": slug, "why": str(refused)}]
            Batch.objects.filter(pk=batch.pk).update(left_out=left_out)
            return False
        BatchMember.objects.create(batch=now, run=run, joined=not new)
    return new


def _everything(preset: str, technique: str) -> Plan:
    sound = [recipe.slug for recipe in catalogue.recipes()]
    return Plan("Every recipe", sorted([*sound, *catalogue.broken()]))


def _of_technique(preset: str, technique: str) -> Plan:
    found = Technique.objects.filter(slug=technique).first()
    if found is None:
        raise Refused({"technique": "Choose a technique; /techniques lists those there are."})
    slugs = recipes_of(found)
    if not slugs:
        raise Refused({"technique": f"No recipe measures a paper on {found.name} yet."})
    return Plan(f"Recipes of {found.name}", slugs)


def _changed(preset: str, technique: str) -> Plan:
    """Against the newest torch that a living worker has; only such a worker takes the runs."""
    brought = torches.brought(preset)
    if not brought:
        raise Refused({"kind": f"No worker that takes {preset} runs is alive to say which torch it has."})
    now = brought[0]
    results = torches.of_latest_results(preset)
    known = {recipe.slug for recipe in catalogue.recipes()} | catalogue.broken().keys()
    slugs = sorted(slug for slug, torch in results.items() if slug in known and torch != now)
    if not slugs:
        raise Refused({"kind": f"No {preset} result was last measured with another torch than {now}."})
    return Plan(f"Last measured with another torch than {now}", slugs, [torches.label(now)])


PLANS = {"all": _everything, "technique": _of_technique, "changed": _changed}
