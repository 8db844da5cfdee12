"""What a stranger's bundle must be before a moderator sees it.

Each refusal names the place in the bundle, and what to do about it.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from reproduce import bundles, catalogue, samples
from reproduce.models import Run
from reproduce.recipes import bundle
from reproduce.recipes.parameters import ParameterError
from reproduce.recipes.spec import Recipe

AS_WRITTEN = "Send the file bundle.json exactly as the recipe wrote it."
AGAIN = "Run the recipe of this site's own code again, and send what it writes."
LONGEST_TOLD = 600
LONGEST_DEVICE = Run._meta.get_field("device_name").max_length
MOST_ROUNDS = 2**31 - 1  # a column of PostgreSQL's integer
AHEAD = timedelta(days=1)  # clocks may be wrong, but not by more
MOST_WATTS = 10_000  # of one GPU
SLACK_S = 5  # a GPU's seconds are taken by another clock than the start and the end


class Refused(ValueError):
    """What cannot be done with a bundle: one sentence that says why, and one that says what to do."""

    def __init__(self, told: str) -> None:
        super().__init__(told if len(told) <= LONGEST_TOLD else told[:LONGEST_TOLD] + " …")


def admit(raw: bytes) -> tuple[dict[str, Any], Recipe]:
    """The report of a bundle that may wait for a moderator, and its recipe. Raises Refused."""
    try:
        report = bundle.read(raw)
        kept = bundle.samples(report)
    except bundle.BundleError as error:
        raise Refused(f"{error} {AS_WRITTEN}") from error
    recipe = _recipe(report["recipe"]["slug"])
    for fault in _faults(report, recipe, kept):
        raise Refused(f"The bundle is refused: {fault}")
    return report, recipe


def _recipe(slug: str) -> Recipe:
    found = catalogue.recipe(slug)
    if found is None:
        raise Refused(f"The bundle is refused: recipe.slug is {slug}, and /recipes lists no such recipe.")
    if catalogue.paper_of(found) is None:
        raise Refused(
            f"The paper {found.paper} is not in the database. Send in its reference at /submit first."
        )
    return found


def _faults(report: Mapping[str, Any], recipe: Recipe, kept: Any) -> Iterator[str]:
    """Sentences, the remedy at each one's end."""
    if told := bundles.misfit(report, recipe):
        yield f"{told}. {AGAIN}"
    yield from _recipe_faults(report, recipe)
    yield from _number_faults(report, recipe)
    yield from _device_faults(report, recipe)
    yield from _time_faults(report)
    if told := samples.fault(kept):
        yield f"its raw samples {told}. {AS_WRITTEN}"


def _recipe_faults(report: Mapping[str, Any], recipe: Recipe) -> Iterator[str]:
    digest, told = report["recipe"]["digest"], report["recipe"]["version"]
    if (version := _version_of(recipe, digest)) is None:
        yield f"recipe.digest is of no version of {recipe.slug} that this site knows. {AGAIN}"
    elif version != told:
        yield f"recipe.version is {told}, but recipe.digest is that of version {version}. {AS_WRITTEN}"
    if digest != recipe.digest:
        return  # an earlier version may have had other parameters
    try:
        whole = recipe.parameters(report["preset"], report["parameters"])
    except ParameterError as error:
        yield f"parameters: {error} {AGAIN}"
    else:
        if missing := sorted(whole.keys() - report["parameters"].keys()):
            yield f"parameters: {', '.join(missing)} is missing. {AS_WRITTEN}"


def _version_of(recipe: Recipe, digest: str) -> int | None:
    """The version of a recipe with this digest: as it is now, or as it was when some run here was made."""
    if digest == recipe.digest:
        return recipe.version
    same = Run.objects.filter(recipe=recipe.slug, recipe_digest=digest)
    return same.values_list("recipe_version", flat=True).first()


def _number_faults(report: Mapping[str, Any], recipe: Recipe) -> Iterator[str]:
    promised = {measure.name for measure in recipe.measures}
    for metric in report["metrics"]:
        name = metric["name"]
        if name in promised and metric["unit"] != recipe.unit(name):
            yield f"the unit of {name} is {metric['unit']!r}, not {recipe.unit(name)!r}. {AS_WRITTEN}"
        if metric["n"] > MOST_ROUNDS:
            yield f"n of {name} is larger than {MOST_ROUNDS}. {AS_WRITTEN}"


def _device_faults(report: Mapping[str, Any], recipe: Recipe) -> Iterator[str]:
    device = report["device"]
    name, count = device["name"], device["count"]
    if not (1 < len(name.strip()) <= LONGEST_DEVICE and name.isprintable()):
        yield f"device.name must name the device in 2 to {LONGEST_DEVICE} printable characters. {AS_WRITTEN}"
    if device["kind"] == "cuda":
        seen = report["environment"].get("accelerator")
        seen = seen.get("name") if isinstance(seen, dict) else None
        if seen != name:
            other = str(seen)[:LONGEST_DEVICE]
            yield f"device.name is {name!r}, but environment.accelerator.name is {other!r}. {AS_WRITTEN}"
        if count < recipe.gpus:
            yield f"device.count is {count}, and the recipe needs {recipe.gpus} GPUs. {AGAIN}"
    if any(point["gpu"] >= count for point in report["trace"]):
        yield f"trace names more GPUs than the {count} of device.count. {AS_WRITTEN}"


def _time_faults(report: Mapping[str, Any]) -> Iterator[str]:
    started, finished = (datetime.fromisoformat(report[name]) for name in ("started", "finished"))
    if finished > timezone.now() + AHEAD:
        yield f"finished is {report['finished']}, which is still to come. Set that clock, and run it again."
    possible = (finished - started).total_seconds() * report["device"]["count"] + SLACK_S
    if report["gpu_seconds"] > possible:
        yield f"gpu_seconds is more than its GPUs had between start and end, {possible:.0f}. {AS_WRITTEN}"
    if (report["energy_j"] or 0) > MOST_WATTS * possible:
        yield f"energy_j is more than {MOST_WATTS} W from start to end. {AS_WRITTEN}"
