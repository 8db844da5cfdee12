"""Standing orders: what is to be measured again on each torch that a worker brings.

Looking is safe at any time and anywhere: a cause has one batch, and a batch asks for each recipe once.
"""

from django.contrib.auth.models import AbstractUser
from django.db import IntegrityError, transaction
from django.db.models import Q

from reproduce import batches, catalogue, pool, torches
from reproduce.demand import Refused
from reproduce.models import Batch, Run, Schedule
from reproduce.recipes.spec import PRESETS, Recipe


def make(recipe: str, preset: str, *, who: AbstractUser) -> Schedule:
    """Measure a recipe, or with "" all of them, on each new torch from now on. Raises Refused."""
    if recipe and catalogue.recipe(recipe) is None:
        raise Refused(
            {"recipe": f"There is no sound recipe {recipe[:80]!r}; /recipes lists those there are."}
        )
    if preset not in PRESETS:
        raise Refused({"preset": f"Choose one of: {', '.join(PRESETS)}."})
    try:
        with transaction.atomic():
            return Schedule.objects.create(recipe=recipe, preset=preset, made_by=who)
    except IntegrityError:
        raise Refused({"": "There is this very schedule already."}) from None


def stop(schedule: Schedule) -> bool:
    """Ask for no more; what was asked for goes on. False if it was stopped already."""
    return bool(Schedule.objects.filter(pk=schedule.pk, active=True).update(active=False))


def look() -> None:
    """Ask, for every active schedule, for what no torch of a living worker has measured yet."""
    active = Schedule.objects.filter(active=True, made_by__is_active=True).select_related("made_by")
    for schedule in active:
        for torch in torches.brought(schedule.preset):
            _ask(schedule, torch)


def _ask(schedule: Schedule, torch: str) -> None:
    labels = [torches.label(torch)]
    slugs = [
        recipe.slug
        for recipe in _unmeasured(schedule, torch)
        if pool.can_serve(**catalogue.needs(recipe, schedule.preset, labels))
    ]
    if not slugs:
        return
    title = f"Scheduled: {schedule} with torch {torch}"
    batch, _ = Batch.objects.get_or_create(
        cause=f"{schedule.pk}:{schedule.recipe or 'all'}:{torch}",
        defaults={"title": title[:200], "asked_by": schedule.made_by, "schedule": schedule},
    )
    plan = batches.Plan(title, slugs, labels)
    batches.fill(batch, plan, preset=schedule.preset, who=schedule.made_by)


def _unmeasured(schedule: Schedule, torch: str) -> list[Recipe]:
    """The sound recipes of a schedule that this pool has neither measured with this torch nor is about to."""
    wanted = [each for each in catalogue.recipes() if schedule.recipe in ("", each.slug)]
    label = [torches.label(torch)]
    runs = Run.objects.filter(preset=schedule.preset, origin=Run.Origin.POOL).filter(
        Q(status="done", environment__code__packages__torch=torch)
        | Q(status__in=["queued", "running"], labels__contains=label)
        | Q(status="running", worker__labels__contains=label)
    )
    there = list(runs.order_by().values_list("recipe_digest", "parameters").distinct())
    return [each for each in wanted if (each.digest, each.parameters(schedule.preset, {})) not in there]
