"""All recipes in one table: headline numbers claimed, predicted and measured, with verdict and hardware."""

import csv
import io
from dataclasses import dataclass

from django.db.models import Count, prefetch_related_objects

from papers.metrics import METRICS
from papers.models import AXES, Paper
from reproduce import catalogue, pooling
from reproduce.models import Run
from reproduce.pooling import Number, Pool
from reproduce.recipes.spec import Recipe

UNMEASURED = "unmeasured"
COLUMNS = (
    "recipe", "version", "axis", "tier", "paper", "number", "metric", "unit", "claimed", "claim_verified",
    "predicted", "measured", "low", "high", "runs", "spread_between_runs", "verdict", "reason",
    "fraction_of_limit", "device", "torch", "date",
)  # fmt: skip


@dataclass(frozen=True)
class Line:
    """A recipe with its headline number on one device; without one where it has not been measured."""

    recipe: Recipe
    paper: Paper | None
    axis: str
    pool: Pool | None = None
    earlier: int = 0  # full runs of earlier versions, where this one has none

    @property
    def number(self) -> Number | None:
        return self.pool and self.pool.headline

    @property
    def measure(self):
        return next(measure for measure in self.recipe.measures if measure.headline)

    @property
    def claim(self):
        """What the headline is held against, measured or not."""
        claims = self.paper.claims.all() if self.paper else ()
        return next((claim for claim in claims if claim.slug == self.measure.claim), None)

    @property
    def newest(self):
        return self.pool.runs[0] if self.pool and self.pool.runs else None

    @property
    def of_limit(self) -> float | None:
        """Least time by the roofline divided by the candidate's measured time, in the newest sound run."""
        headline = (
            next((m for m in self.newest.measurements.all() if m.headline), None) if self.newest else None
        )
        share = (headline.detail if headline else {}).get("fraction_of_limit")
        found = share.get("candidate") if isinstance(share, dict) else None
        return found if isinstance(found, int | float) else None

    @property
    def verdict(self) -> str:
        return self.number.verdict.code if self.number else UNMEASURED


def lines(axis: str = "", verdict: str = "") -> list[Line]:
    """The lines of all sound recipes by axis, then slug; of one axis or verdict where given."""
    papers = catalogue.papers()
    prefetch_related_objects(list({p.pk: p for p in papers.values()}.values()), "techniques", "claims")
    pools = pooling.headlines(catalogue.recipes())
    earlier = dict(Run.objects.scored().order_by().values_list("recipe").annotate(Count("pk")))
    found = []
    for recipe in catalogue.recipes():
        paper = papers.get(recipe.slug)
        of = _axis(paper)
        measured = [Line(recipe, paper, of, pool) for pool in pools.get(recipe.slug, [])]
        found += measured or [Line(recipe, paper, of, earlier=earlier.get(recipe.slug, 0))]
    order = list(AXES)
    found.sort(
        key=lambda line: (order.index(line.axis) if line.axis in order else len(order), line.recipe.slug)
    )
    return [line for line in found if axis in ("", line.axis) and verdict in ("", line.verdict)]


def as_csv(given: list[Line]) -> str:
    """The table as CSV, numbers in full."""
    out = io.StringIO()
    table = csv.writer(out)
    table.writerow(COLUMNS)
    table.writerows(_row(line) for line in given)
    return out.getvalue()


def _axis(paper: Paper | None) -> str:
    return next((technique.axis for technique in paper.techniques.all()), "") if paper else ""


def _row(line: Line) -> list[object]:
    number, claim = line.number, line.claim
    measured = ["", "", "", "", "", "", "", ""]
    if number:
        measured = [
            number.predicted, number.value, number.low, number.high, number.runs, number.spread,
            number.verdict.code, number.verdict.reason,
        ]  # fmt: skip
    return [
        line.recipe.slug, line.recipe.version, line.axis, line.recipe.tier, line.recipe.paper,
        line.measure.label, line.measure.metric, METRICS[line.measure.metric].unit,
        claim.value if claim else "", claim.verified if claim else "", *measured, line.of_limit,
        line.pool.device_name if line.pool else "", line.pool.torch if line.pool else "",
        line.newest.finished.date().isoformat() if line.newest else "",
    ]  # fmt: skip
