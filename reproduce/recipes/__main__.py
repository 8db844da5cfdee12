"""The command line: list, validate and run recipes. Only `run` needs torch."""

import argparse
import importlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from reproduce.recipes import report, spec
from reproduce.recipes.events import Events
from reproduce.recipes.parameters import ParameterError

NEEDS_TORCH = (
    "Running a recipe needs torch and numpy, and {missing} is not installed here. "
    "Install them with: pip install 'torch>=2.11' 'numpy>=2' nvidia-ml-py"
)


def main(arguments: list[str] | None = None) -> int:
    """Parses the command line and does what it says; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m reproduce.recipes", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("ls", help="list the recipes").set_defaults(act=_list)
    check = commands.add_parser("check", help="validate recipes; list every fault")
    check.add_argument("slug", nargs="?")
    check.set_defaults(act=_check)
    run = commands.add_parser("run", help="run a recipe and write its bundle")
    run.add_argument("slug")
    run.add_argument("--preset", choices=spec.PRESETS, default="smoke")
    run.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="change a parameter")
    run.add_argument("--params", type=json.loads, default={}, metavar="JSON", help="change parameters")
    run.add_argument("--device", choices=("cpu", "cuda"), help="by default the GPU, if there is one")
    run.add_argument("--out", type=Path, required=True, metavar="DIR", help="where bundle.json is written")
    run.add_argument("--events-fd", type=int, metavar="N", help="write JSON lines to this descriptor")
    run.set_defaults(act=_run)
    given = parser.parse_args(arguments)
    try:
        return given.act(given)
    except KeyboardInterrupt:
        print("Stopped; no bundle was written.", file=sys.stderr)
        return 130


def _list(given: argparse.Namespace) -> int:
    try:
        print(report.recipes(spec.load_all()))
    except spec.RecipeError as error:
        return _refused(str(error))
    return 0


def _check(given: argparse.Namespace) -> int:
    try:
        checked = [spec.load(given.slug)] if given.slug else spec.load_all()
    except spec.RecipeError as error:
        return _refused(str(error))
    print(f"{len(checked)} recipe{'' if len(checked) == 1 else 's'} checked, no fault found.")
    return 0


def _run(given: argparse.Namespace) -> int:
    events = report.Watched(given.events_fd) if given.events_fd is None else Events(given.events_fd)
    try:
        recipe = spec.load(given.slug)
        parameters = recipe.parameters(given.preset, _overrides(given))
        engine = importlib.import_module("reproduce.recipes.execute")
        device = engine.choose_device(given.device, recipe, given.preset)
        _refuse_unwritable(given.out)
    except (spec.RecipeError, ParameterError, ValueError) as error:
        return _refused(str(error), events)
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "numpy"):
            raise
        return _refused(NEEDS_TORCH.format(missing=error.name), events)
    found = engine.execute(recipe, given.preset, parameters, device, given.out, events)
    if given.events_fd is None:
        print(report.outcome(recipe, found, given.out / "bundle.json"))
    return 0 if found["status"] == "done" else 1


def _refuse_unwritable(out: Path) -> None:
    """ValueError, before anything is measured, if no bundle could be written there."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out).close()
    except OSError as error:
        raise ValueError(f"--out {out} cannot be written: {error.strerror}.") from error
    if (out / "bundle.json").is_dir():
        raise ValueError(f"--out {out} holds a folder called bundle.json; choose another.")


def _overrides(given: argparse.Namespace) -> dict[str, Any]:
    """Parameters of --params, then of --set; ValueError says what is malformed."""
    if not isinstance(given.params, dict):
        raise ValueError('--params must be a JSON object such as {"batch": 8}.')
    pairs = [pair.partition("=") for pair in given.set]
    for name, equals, _ in pairs:
        if not equals:
            raise ValueError(f"--set {name} must be written NAME=VALUE.")
    return {**given.params, **{name.strip(): value for name, _, value in pairs}}


def _refused(why: str, events: Events | None = None) -> int:
    if events:
        events.send("failure", kind="recipe_error", message=why[:2000])
    print(why, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
