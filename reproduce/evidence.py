"""From a checked bundle to judged measurements: what stands beside what a paper claims."""

from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils.dateparse import parse_datetime

from papers.models import Claim, Paper
from reproduce import catalogue, verdict
from reproduce.bundles import columns, pack
from reproduce.models import Measurement, Run, RunEvent
from reproduce.models.measurements import judged_values
from reproduce.recipes import bundle, spec
from reproduce.recipes.spec import Measure, Recipe
from reproduce.verdict import INVALID, NOT_COMPARABLE, Claimed, Measured, Verdict

SMOKE = "A smoke run only checks that the recipe works, on two CPU cores; its numbers are never scored."
MEANT_FOR = {
    "cuda": "The full preset is meant for a GPU; what a CPU measured is shown, never scored.",
    "cpu": "This recipe is meant for a CPU; what a GPU measured is shown, never scored.",
}


def store_measurements(run: Run, report: dict[str, Any]) -> list[Measurement]:
    """Judge every metric of a bundle and keep it with its verdict, in the recipe's order."""
    return Measurement.objects.bulk_create(measurements_of(run, report))


def measurements_of(run: Run, report: dict[str, Any]) -> list[Measurement]:
    """Every metric of a bundle with its verdict, in the recipe's order, unsaved: a glance before deciding."""
    recipe = spec.load(run.recipe)
    claims = {claim.slug: claim for claim in run.paper.claims.all()}
    given = {metric["name"]: metric for metric in report["metrics"]}
    return [
        _measurement(run, recipe, position, claims, given[measure.name])
        for position, measure in enumerate(recipe.measures)
        if measure.name in given
    ]


def finished_run(report: dict[str, Any], recipe: Recipe, paper: Paper, **fields: Any) -> Run:
    """The finished run, unsaved, that a bundle from outside this pool tells of."""
    return Run(
        recipe=recipe.slug,
        recipe_version=report["recipe"]["version"],
        recipe_digest=report["recipe"]["digest"],
        paper=paper,
        preset=report["preset"],
        parameters=report["parameters"],
        device=report["device"]["kind"],
        gpus=report["device"]["count"],
        time_limit=recipe.time_limit_s[report["preset"]],
        fingerprint=catalogue.fingerprint(report["recipe"]["digest"], report["preset"], report["parameters"]),
        status="done",
        progress=1,
        attempt=1,
        queued=parse_datetime(report["started"]),
        started=parse_datetime(report["started"]),
        finished=parse_datetime(report["finished"]),
        **columns(report),
        **fields,
    )


def load_shipped(path: Path) -> Run | None:
    """Store a bundle that ships with Spectrum as a finished run; None if it is there already.

    Raises bundle.BundleError or spec.RecipeError. What is there already is not parsed again.
    """
    raw = path.read_bytes()
    stored = pack(raw)
    if Run.objects.filter(bundle_sha256=stored["bundle_sha256"], origin=Run.Origin.SHIPPED).exists():
        return None
    report = bundle.read(raw)
    recipe = spec.load(report["recipe"]["slug"])
    if (paper := catalogue.paper_of(recipe)) is None:
        raise spec.RecipeError(f"the paper of {recipe.slug} is not in the database; run load_corpus first")
    with transaction.atomic():
        run = finished_run(report, recipe, paper, origin=Run.Origin.SHIPPED, **stored)
        run.save()
        store_measurements(run, report)
        RunEvent.objects.create(
            run=run, at=run.finished, attempt=1, status="done", who="Spectrum", why=f"shipped as {path.name}"
        )
    return run


def _measurement(
    run: Run, recipe: Recipe, position: int, claims: dict[str, Claim], given: dict[str, object]
) -> Measurement:
    measure = recipe.measures[position]
    claim = claims.get(measure.claim or "")
    measured = Measured(given["value"], given["low"], given["high"], given["noise"], given["predicted"])
    judged = judge(run, measure, claim, measured)
    return Measurement(
        run=run,
        position=position,
        label=measure.label,
        metric=measure.metric,
        headline=measure.headline,
        claim=claim,
        claimed=claim and judged_values(claim),
        verdict=judged.code,
        verdict_reason=judged.reason,
        **given,
    )


def judge(run: Run, measure: Measure, claim: Claim | None, measured: Measured) -> Verdict:
    """The verdict with all that stands around the number: preset, device, guards, what the recipe scores."""
    if run.preset == "smoke":
        return Verdict(NOT_COMPARABLE, SMOKE)
    if run.device != (meant := catalogue.device_of(run.preset, catalogue.recipe(run.recipe))):
        return Verdict(NOT_COMPARABLE, MEANT_FOR[meant])
    if broken := [guard for guard in run.guards if not guard["passed"]]:
        names = ", ".join(guard["name"].replace("_", " ") for guard in broken)
        return Verdict(INVALID, f"A guard failed ({names}), and a wrong result cannot have a speed.")
    if not measure.scored:
        return Verdict(NOT_COMPARABLE, measure.note or "The recipe does not score this number.")
    kind = "ratio" if is_comparable(measure, run.device_name) else claim and claim.kind
    claimed = claim and Claimed(claim.value, claim.low, claim.high, claim.better, kind, claim.range_printed)
    judged = verdict.judge(claimed, measured, measure.rule, measure.tolerance)
    limit = "" if judged.code == verdict.REPRODUCED else _hardware(claimed, measured, measure.rule)
    return Verdict(judged.code, judged.reason + limit)


def is_comparable(measure: Measure, device_name: str) -> bool:
    """Whether the recipe says that an absolute number from this device may be held against the claim."""
    return any(part == "any" or part in device_name for part in measure.comparable_on)


def _hardware(claimed: Claimed | None, measured: Measured, rule: str) -> str:
    """Say so when this hardware could not have shown the claimed ratio at all."""
    if claimed is None or measured.predicted is None or rule != "ratio":
        return ""
    best, wanted = measured.predicted, claimed.value
    limited = best > wanted if claimed.better == "lower" else best < wanted
    return f" Hardware-limited: its roofline here allows {best:.3g} at best." if limited else ""
