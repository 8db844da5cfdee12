"""Asking for a run: what is checked before a row is queued, and when an answer is there already."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.contrib.auth.models import AbstractUser, AnonymousUser
from django.db import IntegrityError, connection, transaction
from django.db.models import Max, Sum
from django.db.models.functions import Now

from reproduce import catalogue, doorbell
from reproduce.models import Run, RunEvent
from reproduce.models.workers import LABEL_LENGTH
from reproduce.operators import is_operator
from reproduce.recipes.parameters import ParameterError
from reproduce.recipes.spec import PRESETS, Recipe

FREE_OF_CHARGE = ("platform", "worker_lost")
MOST_LABELS = 5
QUOTA_LOCK = 0x5BEC7203  # pg_advisory_xact_lock(int, int): one user's requests are counted one at a time


class Refused(Exception):
    """A request that cannot be queued: a sentence for each field, "" for the whole."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__(" ".join(errors.values()))
        self.errors = dict(errors)


class OverQuota(Refused):
    """Not now: the user has as much in flight, or has used as much, as one may."""


@dataclass(frozen=True)
class Quota:
    """A user's GPU-seconds of the last 24 hours, and runs waiting or running."""

    used_s: float
    limit_s: float
    in_flight: int
    max_in_flight: int


def quota(user: AbstractUser) -> Quota:
    """What this user has used. Runs that the platform failed are free."""
    runs = Run.objects.filter(requested_by=user, origin=Run.Origin.POOL)
    recent = runs.filter(queued__gt=Now() - timedelta(days=1)).exclude(failure__in=FREE_OF_CHARGE)
    used = recent.aggregate(total=Sum("gpu_seconds"))["total"] or 0
    in_flight = runs.filter(status__in=["queued", "running"]).count()
    return Quota(used, settings.GPU_SECONDS_PER_DAY, in_flight, settings.RUNS_IN_FLIGHT)


def request_run(
    slug: str,
    *,
    preset: str,
    typed: Mapping[str, object],
    who: AbstractUser,
    fresh: bool = False,
    labels: Sequence[str] = (),
    priority: int = 0,
    ring: bool = True,
) -> tuple[Run, bool]:
    """Queue a run of a recipe, or join the same question's run in flight or its result.

    `typed` holds parameters as people type them; only a worker that has all `labels` takes it. Who asks for
    many gives them less `priority`, and rings once for all. Returns the run and whether it is newly queued.
    Raises Refused.
    """
    recipe, parameters = _check(slug, preset, typed)
    wanted = _wanted(recipe, preset, parameters, _check_labels(labels))
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [QUOTA_LOCK, who.pk])
        same = Run.objects.filter(fingerprint=wanted["fingerprint"], origin=Run.Origin.POOL)
        if run := _answer(same, fresh):
            return run, False
        _refuse_beyond_quota(who, wanted["device"])
        beside = fresh or same.filter(status="running").exists()  # one that is being cancelled answers nobody
        repeat = (same.aggregate(last=Max("repeat"))["last"] or 0) + 1 if beside else 0
        run = Run(**wanted, repeat=repeat, requested_by=who, priority=priority)
        try:
            with transaction.atomic():
                run.save()
        except IntegrityError:  # somebody else asked the same at the same moment: theirs is the answer
            return same.filter(repeat=repeat).latest("pk"), False
        RunEvent.objects.create(
            run=run, at=Now(), attempt=0, status="queued", who=who.get_username(), why="asked for"
        )
        if ring:
            transaction.on_commit(lambda: doorbell.ring(run.device))
    return run, True


def may_cancel(user: AbstractUser | AnonymousUser, run: Run) -> bool:
    """Whoever asked for a run, and the operators, may cancel it."""
    return user.is_authenticated and (user == run.requested_by or is_operator(user))


def _check(slug: str, preset: str, typed: Mapping[str, object]) -> tuple[Recipe, dict[str, object]]:
    recipe = catalogue.recipe(slug)
    if slug in catalogue.broken():
        told = " ".join(catalogue.broken()[slug])
        raise Refused({"recipe": f"The recipe {slug} is broken and cannot run until that is mended: {told}"})
    if recipe is None:
        raise Refused({"recipe": f"There is no recipe {slug[:80]!r}; /recipes lists those there are."})
    if preset not in PRESETS:
        raise Refused({"preset": f"Choose one of: {', '.join(PRESETS)}."})
    try:
        return recipe, recipe.parameters(preset, typed)
    except ParameterError as error:
        raise Refused(error.faults) from error


def _check_labels(labels: Sequence[str]) -> list[str]:
    kept = sorted({label.strip() for label in labels} - {""})
    if len(kept) > MOST_LABELS or any(len(label) > LABEL_LENGTH or "\x00" in label for label in kept):
        told = f"Name at most {MOST_LABELS} labels of at most {LABEL_LENGTH} characters; /workers shows all."
        raise Refused({"labels": told})
    return kept


def _wanted(
    recipe: Recipe, preset: str, parameters: dict[str, object], labels: list[str]
) -> dict[str, object]:
    """The columns of Run that say what is asked for. Raises Refused while its paper is not here."""
    paper = catalogue.paper_of(recipe)
    if paper is None:
        raise Refused(
            {"": f"The paper {recipe.paper} is not in the database; submit it first, then run this."}
        )
    return {
        "recipe": recipe.slug,
        "recipe_version": recipe.version,
        "recipe_digest": recipe.digest,
        "paper": paper,
        "preset": preset,
        "parameters": parameters,
        **catalogue.needs(recipe, preset, labels),
        "time_limit": recipe.time_limit_s[preset],
        "fingerprint": catalogue.fingerprint(recipe.digest, preset, parameters, labels),
    }


def _answer(same: object, fresh: bool) -> Run | None:
    """The run in flight that asks the same; unless a fresh one is wanted, also the newest result."""
    wanted = ["queued", "running"] if fresh else ["queued", "running", "done"]
    return (
        same.filter(status__in=wanted)
        .exclude(status="running", cancel_requested__isnull=False)
        .order_by("-pk")
        .first()
    )


def _refuse_beyond_quota(who: AbstractUser, device: str) -> None:
    if is_operator(who):
        return
    now = quota(who)
    if now.in_flight >= now.max_in_flight:
        raise OverQuota(
            {"": f"You have {now.in_flight} runs waiting or running; wait for one, or cancel one."}
        )
    if device == "cuda" and now.used_s >= now.limit_s:
        raise OverQuota(
            {"": f"You used {now.used_s:.0f} of {now.limit_s:.0f} GPU-seconds in 24 hours; try again later."}
        )
