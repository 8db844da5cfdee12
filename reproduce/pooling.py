"""Repeats of one question, pooled: one value for what the same code measured again and again.

Repeats share recipe, digest, preset, parameters, device and torch. Labels are no part of it: they say which
worker might measure, not what. Contributed runs are never pooled, runs with a failed guard are left out.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import exp, log, sqrt
from statistics import fmean, median, stdev
from typing import Any

from django.db.models import Prefetch, QuerySet

from papers.models import Claim
from reproduce import catalogue, torches
from reproduce.evidence import judge
from reproduce.models import Measurement, Run
from reproduce.recipes.spec import Measure, Recipe
from reproduce.verdict import Measured, Verdict

LATEST = 200  # runs of a question that are looked at
# Student's t at 97.5 % for 1, 2, ... degrees of freedom; beyond these its last value, a hair too wide.
STUDENT = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
)  # fmt: skip


@dataclass(frozen=True)
class Number:
    """One measure over all repeats: the median of their values, and how sure it is."""

    measure: Measure
    claim: Claim | None
    value: float
    low: float
    high: float
    runs: int
    n: int  # samples of all runs together
    spread: float | None  # between runs, (largest - smallest) / median; None for one run
    predicted: float | None  # by the roofline of the hardware, the median of the runs
    verdict: Verdict

    @property
    def metric(self) -> str:
        return self.measure.metric


@dataclass(frozen=True)
class Pool:
    """The repeats on one device with one torch, newest first; `unsound` had a failed guard and count not."""

    device_name: str
    torch: str
    runs: tuple[Run, ...]
    unsound: int
    numbers: tuple[Number, ...]

    @property
    def headline(self) -> Number | None:
        return next((number for number in self.numbers if number.measure.headline), None)

    @property
    def alone(self) -> list["Pool"]:
        """For a template that shows pools."""
        return [self]


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of what one run measures, from the values of two or more that are not all the same.

    Student's, with one value for each run: samples of one run share its clocks, memory and neighbours, so the
    runs are the independent units, and their values vary by what varies within and between runs together
    (Georges, Buytaert, Eeckhout, OOPSLA 2007; Kalibera, Jones, ISMM 2013). In logarithms, because ratios and
    times vary by factors; as they are where one is not above zero. A bootstrap over two or three runs could
    only say "between the smallest and the largest". It is stretched where it must be to hold the median.
    """
    middle = median(values)
    in_logs = min(values) > 0
    points = [log(value) for value in values] if in_logs else list(values)
    half = STUDENT[min(len(points) - 1, len(STUDENT)) - 1] * stdev(points) / sqrt(len(points))
    ends = (fmean(points) - half, fmean(points) + half)
    low, high = map(exp, ends) if in_logs else ends
    return min(low, middle), max(high, middle)


def spread(values: Sequence[float]) -> float | None:
    """How far apart the runs are, relative to their median; None for one run, or around zero."""
    middle = median(values)
    return (max(values) - min(values)) / abs(middle) if len(values) > 1 and middle else None


def pools(recipe: Recipe, preset: str) -> list[Pool]:
    """All repeats of what the recipe asks as it stands, with the preset's own parameters, by device."""
    asked = {"recipe_digest": recipe.digest, "parameters": recipe.parameters(preset, {})}
    return _pools(recipe, _repeats(recipe=recipe.slug, preset=preset, **asked)[:LATEST])


def headlines(recipes: Sequence[Recipe]) -> dict[str, list[Pool]]:
    """For each recipe that has results its headline number alone, pooled as in `present`."""
    return present(recipes, Measurement.objects.filter(headline=True))


def present(
    recipes: Sequence[Recipe], measurements: QuerySet[Measurement] | None = None
) -> dict[str, list[Pool]]:
    """For each recipe as it stands the pools of its full runs: by device, each with its newest torch.

    A constant number of queries, however many recipes there are. `measurements` says which numbers to pool.
    """
    asked = {recipe.digest: recipe for recipe in recipes}
    repeats = _repeats(measurements, preset="full", recipe_digest__in=list(asked))
    found = defaultdict(list)
    for run in repeats[: LATEST * max(1, len(asked))]:
        if run.parameters == asked[run.recipe_digest].parameters("full", {}):
            found[run.recipe_digest].append(run)
    return {asked[digest].slug: _newest(_pools(asked[digest], runs)) for digest, runs in found.items()}


def _newest(pools: Sequence[Pool]) -> list[Pool]:
    """Of each device the pool with the newest torch; `pools` are sorted by device, then torch."""
    return list({pool.device_name: pool for pool in pools}.values())


def pool_of(run: Run) -> Pool | None:
    """The repeats of a finished run, itself among them; None where there is nothing to pool it with."""
    recipe = catalogue.recipe(run.recipe)
    if recipe is None or run.status != Run.Status.DONE or run.origin == Run.Origin.CONTRIBUTED:
        return None
    same = ("recipe", "recipe_digest", "preset", "parameters", "device_name")
    found = _pools(recipe, _repeats(**{name: getattr(run, name) for name in same})[:LATEST])
    return next((pool for pool in found if run in pool.runs), None)


def _repeats(measurements: QuerySet[Measurement] | None = None, **question: Any) -> QuerySet[Run]:
    light = [name for name in Run.HEAVY if name != "guards"]
    wanted = Measurement.objects.all() if measurements is None else measurements
    measured = Prefetch("measurements", wanted.select_related("claim"))
    return (
        Run.objects.ours()
        .filter(status="done", **question)
        .defer(*light)
        .annotate(torch=torches.MEASURED_WITH)
        .prefetch_related(measured)
        .order_by("-finished", "-pk")
    )


def _pools(recipe: Recipe, runs: Iterable[Run]) -> list[Pool]:
    groups = defaultdict(list)
    for run in runs:
        groups[run.device_name, torches.order(run.torch), run.torch].append(run)
    return [_pool(recipe, groups[key]) for key in sorted(groups)]


def _pool(recipe: Recipe, runs: list[Run]) -> Pool:
    sound = tuple(run for run in runs if all(guard["passed"] for guard in run.guards))
    given = defaultdict(list)
    for run in sound:
        for measurement in run.measurements.all():
            given[measurement.name].append(measurement)
    numbers = tuple(
        _number(sound[0], measure, given[measure.name]) for measure in recipe.measures if given[measure.name]
    )
    return Pool(runs[0].device_name, runs[0].torch, sound, len(runs) - len(sound), numbers)


def _number(newest: Run, measure: Measure, given: list[Measurement]) -> Number:
    """Runs that agree to the last digit, and a single one, have the widest interval of their own samples.

    The noise floor is the worst that any run had.
    """
    values = [each.value for each in given]
    low, high = min(each.low for each in given), max(each.high for each in given)
    if len(set(values)) > 1:
        low, high = interval(values)
    noise = max((each.noise for each in given if each.noise is not None), default=None)
    predicted = [each.predicted for each in given if each.predicted is not None]
    claim = given[0].judged_by  # as the newest run was judged, whatever was corrected since
    measured = Measured(median(values), low, high, noise, median(predicted) if predicted else None)
    return Number(
        measure=measure,
        claim=claim,
        value=measured.value,
        low=low,
        high=high,
        runs=len(given),
        n=sum(each.n for each in given),
        spread=spread(values),
        predicted=measured.predicted,
        verdict=judge(newest, measure, claim, measured),
    )


@dataclass(frozen=True)
class Change:
    """What a newer torch did to a number on one device, relative to the torch before it."""

    torch: str
    before: str
    share: float
    apart: bool  # the two intervals do not meet
    spread: float | None  # the larger between-run spread of the two; None if neither was repeated

    @property
    def beyond_noise(self) -> bool:
        return self.apart and self.spread is not None and abs(self.share) > self.spread


def latest_change(of_one_device: Sequence[Pool]) -> Change | None:
    """The headline number with the newest torch against that before; None where there are no such two."""
    measured = [pool for pool in of_one_device if pool.headline]
    if len(measured) < 2 or measured[-2].headline.value == 0:
        return None
    before, now = measured[-2].headline, measured[-1].headline
    known = [number.spread for number in (before, now) if number.spread is not None]
    return Change(
        torch=measured[-1].torch,
        before=measured[-2].torch,
        share=(now.value - before.value) / abs(before.value),
        apart=now.low > before.high or now.high < before.low,
        spread=max(known, default=None),
    )
