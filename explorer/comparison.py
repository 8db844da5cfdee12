"""Claimed beside measured: which measurement stands for a claim, and where both lie on one scale."""

from collections import defaultdict
from dataclasses import dataclass
from math import log2

from django.db.models import OuterRef, Prefetch, Subquery

from papers.models import Claim, ClaimProposal
from reproduce import catalogue, pooling
from reproduce.models import Measurement, Run
from reproduce.recipes.spec import Recipe

WIDTH, MIDDLE, REACH = 200, 100, 2  # of the picture; two doublings reach its edge
UNSCORED = (Measurement.Verdict.NOT_COMPARABLE, Measurement.Verdict.INVALID)


@dataclass(frozen=True)
class Lane:
    """Horizontal places of a claim's range and a measurement's interval, the claimed value at the middle."""

    claim_from: float
    claim_to: float
    low: float
    value: float
    high: float
    predicted: float | None
    words: str

    @property
    def claim_width(self):
        return max(self.claim_to - self.claim_from, 1)

    @property
    def interval_width(self):
        return max(self.high - self.low, 1)


@dataclass(frozen=True)
class Row:
    """A claim, what was measured of it, and the recipe that would measure it; either may be missing."""

    claim: Claim
    measurements: list[Measurement]
    recipe: Recipe | None


def latest():
    """The newest scored measurement of each (paper, name), with its run and claim."""
    scored = Measurement.objects.scored()
    same = scored.filter(run__paper=OuterRef("run__paper"), name=OuterRef("name"))
    newest = same.order_by("-run__finished", "-pk").values("pk")[:1]
    return _light(scored.filter(pk=Subquery(newest)))


def contributed():
    """What full runs elsewhere measured, newest run first: shown apart from ours, and never counted."""
    found = Measurement.objects.filter(run__origin=Run.Origin.CONTRIBUTED, run__preset="full")
    return _light(found).select_related("run__requested_by").order_by("-run", "position")


def _light(measurements):
    """With claim, run and paper, but without bundles and abstracts, which no page of numbers shows."""
    heavy = (f"run__{name}" for name in Run.HEAVY)
    found = measurements.select_related("claim", "run__paper")
    return found.defer(*heavy, "run__paper__abstract", "run__paper__search")


def headlines(limit, each_paper=3):
    """The newest judged measurements for the front page by paper, each paper's headline number first."""
    judged = latest().filter(claim__isnull=False).exclude(verdict__in=UNSCORED)
    by_paper = defaultdict(list)
    for each in judged.order_by("-headline", "-run__finished", "position"):
        by_paper[each.run.paper_id].append(each)
    shown = [each for measured in by_paper.values() for each in measured[:each_paper]]
    return with_lanes(pooled(shown[:limit]))


def of_paper(paper, recipes):
    """Every claim of a paper as a Row, and the measurements that no claim asks for."""
    measured = with_lanes(pooled(latest().filter(run__paper=paper).order_by("run_id", "position")))
    asked = {measure.claim: recipe for recipe in recipes for measure in recipe.measures}
    rows = [
        Row(claim, [each for each in measured if each.claim_id == claim.pk], asked.get(claim.slug))
        for claim in paper.claims.prefetch_related(Prefetch("proposals", corrections(), "corrections"))
    ]
    return rows, [each for each in measured if each.claim_id is None]


def corrections():
    """Those that moderators accepted, shown beside the claim; an author's own says so."""
    accepted = ClaimProposal.objects.filter(decision=ClaimProposal.Decision.ACCEPTED, basis__isnull=False)
    return accepted.order_by("decided")


def pooled(measurements):
    """The measurements as a list; where their run has repeats, each says the pooled number of all `repeats`.

    The very number of the recipe's own page: see reproduce/pooling.py. They are to be shown, not saved.
    """
    found = list(measurements)
    recipes = [recipe for slug in {each.run.recipe for each in found} if (recipe := catalogue.recipe(slug))]
    numbers = {
        (run.pk, number.measure.name): number
        for pools in (pooling.present(recipes) if recipes else {}).values()
        for pool in pools
        for run in pool.runs
        for number in pool.numbers
    }
    for each in found:
        number = numbers.get((each.run_id, each.name))
        each.repeats = number.runs if number else 1
        if each.repeats > 1:
            each.value, each.low, each.high, each.n = number.value, number.low, number.high, number.n
            each.predicted = number.predicted
            each.verdict, each.verdict_reason = number.verdict.code, number.verdict.reason
    return found


def with_lanes(measurements):
    """The measurements as a list, each with its `lane` (None where no ratio to the claim makes sense)."""
    found = list(measurements)
    for each in found:
        each.lane = lane(each.judged_by, each) if each.claim else None
    return found


def lane(claim, measured):
    """Places on a doubling scale around the claimed value; right of the middle is better than claimed."""
    values = [claim.low, claim.value, claim.high, measured.low, measured.value, measured.high]
    if measured.verdict in UNSCORED or min(values) <= 0:
        return None
    side = -1 if claim.better == "lower" else 1

    def place(value):
        doublings = max(-REACH, min(REACH, side * log2(value / claim.value)))
        return round(MIDDLE + doublings / REACH * (MIDDLE - 6), 1)

    claimed, seen = (
        sorted(map(place, (claim.low, claim.high))),
        sorted(map(place, (measured.low, measured.high))),
    )
    predicted = place(measured.predicted) if measured.predicted and measured.predicted > 0 else None
    words = f"measured {measured.value / claim.value:.2g} times the claimed value"
    return Lane(*claimed, seen[0], place(measured.value), seen[1], predicted, words)
