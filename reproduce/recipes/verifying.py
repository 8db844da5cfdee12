"""The command `verify`: what can be told of a bundle from the file and this checkout alone, without torch."""

import argparse
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from reproduce.recipes import bundle, recount, spec
from reproduce.recipes.parameters import ParameterError
from reproduce.recipes.report import plain, table
from reproduce.recipes.spec import Recipe


@dataclass(frozen=True)
class Check:
    """One thing that was looked at and how it was found; None is what nothing here can tell."""

    name: str
    passed: bool | None
    said: str


def verify(given: argparse.Namespace) -> int:
    """Prints a line for each check and the medians of the raw samples; the exit status."""
    try:
        data = bundle.read(given.file)
    except bundle.BundleError as error:
        print(error, file=sys.stderr)
        return 1
    checks = examine(data)
    print("\n".join(line(check) for check in checks))
    if found := recount.medians(_samples(data)):
        print(f"\nMedians of the raw samples, for reading:\n{table(_reading(data, found))}")
    return 1 if any(check.passed is False for check in checks) else 0


def line(check: Check) -> str:
    """A check as the terminal shows it."""
    mark = {True: "ok", False: "FAULT", None: "-"}[check.passed]
    return f"{mark:5}  {check.name}: {plain(check.said)}."


def examine(data: Mapping[str, Any]) -> list[Check]:
    """Every check of a bundle that `bundle.read` let pass, which looked at its form, checksum and seal."""
    outcome = "a failed run" if data["failure"] else f"{len(data['metrics'])} measures"
    sealed = "nothing was changed since it was written" if "seal" in data else "none, it is from before seals"
    checks = [
        Check("form", True, f"schema {data['schema']}, {outcome}, {len(data['trace'])} points of the trace"),
        Check("seal", True, sealed),
    ]
    try:
        recipe = spec.load(data["recipe"]["slug"])
    except spec.RecipeError as error:
        return [*checks, Check("recipe", False, str(error).rstrip("."))]
    return [*checks, *_against(recipe, data), *_numbers(data)]


def _against(recipe: Recipe, data: Mapping[str, Any]) -> Iterator[Check]:
    """What the bundle says against the recipe in this checkout."""
    yield (version := version_check(recipe, data))
    if not version.passed:
        return
    yield _parameters(recipe, data)
    promised = {measure.name: recipe.unit(measure.name) for measure in recipe.measures}
    given = [(metric["name"], metric["unit"]) for metric in data["metrics"]]
    odd = [f"{name} in {unit!r}" for name, unit in given if promised.get(name) != unit]
    missing = [] if data["failure"] else sorted(promised.keys() - dict(given).keys())
    faults = [
        *([f"it reports {', '.join(odd)}, which the recipe does not promise"] if odd else []),
        *([f"it lacks {', '.join(missing)}"] if missing else []),
        *(["it reports a measure twice"] if len(dict(given)) < len(given) else []),
    ]
    yield Check("measures", not faults, "; ".join(faults) or "names and units as promised")


def version_check(recipe: Recipe, data: Mapping[str, Any]) -> Check:
    """Whether this checkout's recipe is the very code that made the numbers."""
    made_by, here = data["recipe"], f"{recipe.slug} version {recipe.version}"
    if made_by["digest"] == recipe.digest:
        return Check("recipe", True, f"{here}, as in this checkout")
    said = (
        f"it was measured with version {made_by['version']} ({made_by['digest'][:12]}), this checkout has "
        f"version {recipe.version} ({recipe.digest[:12]}): other code than here made its numbers"
    )
    return Check("recipe", False, said)


def _parameters(recipe: Recipe, data: Mapping[str, Any]) -> Check:
    try:
        same = recipe.parameters(data["preset"], data["parameters"]) == data["parameters"]
    except ParameterError as error:
        return Check("parameters", False, "; ".join(str(error).rstrip(".").splitlines()))
    said = (
        f"{data['preset']}, allowed" if same else "they are not complete, or not written as the recipe does"
    )
    return Check("parameters", same, said)


def _numbers(data: Mapping[str, Any]) -> Iterator[Check]:
    """The measures against the raw samples."""
    samples = _samples(data)
    if samples is None:
        yield Check("samples", False, "they are no JSON")
        return
    found = recount.medians(samples)
    faults = [fault for metric in data["metrics"] for fault in recount.faults(metric, found)]
    yield Check("samples", not faults, "; ".join(faults) or f"checksum right, {len(samples)} sets")
    for metric in data["metrics"]:
        if from_where := recount.origin(metric, found):
            yield Check(metric["name"], True, f"{metric['value']:.6g} again, {from_where}")
        else:
            said = f"{metric['value']:.6g} as reported; it is no ratio of two medians"
            yield Check(metric["name"], None, said)


def _samples(data: Mapping[str, Any]) -> Any:
    try:
        return bundle.samples(data)
    except (ValueError, RecursionError):
        return None


def _reading(data: Mapping[str, Any], found: recount.Medians) -> list[tuple[str, ...]]:
    head = ("samples", "arm", "median", "first arm / this")
    rows = [
        (name, arm, f"{value:.6g}", f"{next(iter(arms.values())) / value:.4g}" if value else "")
        for name, arms in found.items()
        for arm, value in arms.items()
    ]
    return [head, *rows]
