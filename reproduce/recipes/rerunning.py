"""The command `rerun`: measures here what a bundle measured elsewhere, and puts the two side by side."""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reproduce.recipes import bundle, spec, verifying
from reproduce.recipes.report import plain, table
from reproduce.recipes.spec import Recipe

ANYWAY = "Say --anyway to compare all the same."


def rerun(given: argparse.Namespace) -> int:
    """Verifies, runs the same recipe, preset and parameters, and prints then against now; the exit status."""
    path = given.out / "bundle.json"
    try:
        then = bundle.read(given.file)
        recipe = spec.load(then["recipe"]["slug"])
        _refuse(then, recipe, given, path)
    except (bundle.BundleError, spec.RecipeError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    status = subprocess.run(_command(then, given), check=False).returncode
    if status:
        return status
    print(f"\n{comparison(recipe, then, bundle.read(path))}")
    return 0


def comparison(recipe: Recipe, then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Then against now: value and interval of each measure, and whether the intervals meet."""
    labels = {measure.name: measure.label for measure in recipe.measures}
    earlier = {metric["name"]: metric for metric in then["metrics"]}
    head = ("measure", "unit", "then", "95 % interval", "now", "95 % interval", "the intervals")
    rows = [
        (labels[metric["name"]], metric["unit"], *_both(earlier.get(metric["name"]), metric))
        for metric in now["metrics"]
    ]
    return "\n".join([f"Then: {_where(then)}", f"Now:  {_where(now)}", "", table([head, *rows])])


def _refuse(then: Mapping[str, Any], recipe: Recipe, given: argparse.Namespace, path: Path) -> None:
    """ValueError if this bundle should not be run again, or not to there."""
    if path.exists() and path.samefile(given.file):
        raise ValueError("The new bundle would overwrite the old one; give --out another folder.")
    version = verifying.version_check(recipe, then)
    if not version.passed and not given.anyway:
        raise ValueError(f"{version.said[0].upper()}{version.said[1:]}. {ANYWAY}")
    faults = [check for check in verifying.examine(then) if check.passed is False and check != version]
    if faults:
        raise ValueError("\n".join(map(verifying.line, faults)))


def _command(then: Mapping[str, Any], given: argparse.Namespace) -> list[str]:
    """A process of its own, since several GPUs need several."""
    asked = ["--preset", then["preset"], "--params", json.dumps(then["parameters"])]
    where = ["--out", str(given.out), *(["--device", given.device] if given.device else [])]
    return [sys.executable, "-m", "reproduce.recipes", "run", then["recipe"]["slug"], *asked, *where]


def _both(then: Mapping[str, Any] | None, now: Mapping[str, Any]) -> tuple[str, ...]:
    if then is None:
        return ("", "", *_value(now), "not measured then")
    meet = then["low"] <= now["high"] and now["low"] <= then["high"]
    return (*_value(then), *_value(now), "meet" if meet else "do not meet")


def _value(metric: Mapping[str, Any]) -> tuple[str, str]:
    return f"{metric['value']:.4g}", f"{metric['low']:.4g} to {metric['high']:.4g}"


def _where(data: Mapping[str, Any]) -> str:
    device, version = data["device"], data["recipe"]["version"]
    return f"{device['count']} x {plain(device['name'])}, {data['started'][:10]}, version {version}"
