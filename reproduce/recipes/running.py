"""The command `run`: refuses at once what cannot be done, and runs a recipe in one process for each GPU."""

import argparse
import contextlib
import importlib
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from reproduce.recipes import report, spec
from reproduce.recipes.events import Events
from reproduce.recipes.parameters import ParameterError
from reproduce.recipes.spec import Recipe

NEEDS_TORCH = (
    "Running a recipe needs torch and numpy, and {missing} is not installed here. "
    "Install them with: pip install 'torch>=2.11' 'numpy>=2' nvidia-ml-py"
)


def run(given: argparse.Namespace) -> int:
    """Runs a recipe and writes its bundle; the exit status."""
    try:
        recipe = spec.load(given.slug)
        parameters = recipe.parameters(given.preset, _overrides(given))
        _be_a_good_neighbour(given.preset)
        engine = importlib.import_module("reproduce.recipes.execute")
        device = engine.choose_device(given.device, recipe, given.preset)
        _refuse_unwritable(given.out)
    except (spec.RecipeError, ParameterError, ValueError) as error:
        return _failed(str(error), given.events)
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "numpy"):
            raise
        return _failed(NEEDS_TORCH.format(missing=error.name), given.events)
    if recipe.gpus > 1 and "TORCHELASTIC_RUN_ID" not in os.environ:
        torchrun = importlib.import_module("reproduce.recipes.launching")
        status, failure = torchrun.launch(recipe.gpus, given.typed)
        return _failed(failure["message"], given.events, failure["kind"]) if failure else status
    try:
        events = _events(given.events, recipe)
    except OSError as error:
        return _failed(f"--events {given.events} cannot be written: {error.strerror}.", None)
    found = engine.execute(recipe, given.preset, parameters, device, given.out, events)
    if found and not given.events:
        print(report.outcome(recipe, found, given.out / "bundle.json"))
    return engine.leave(1 if found and found["status"] == "failed" else 0)


def _be_a_good_neighbour(preset: str) -> None:
    """Threads of a smoke run sleep while they wait: beside other work, spinning made it three times as long.

    Heard by OpenMP when torch is imported. What is measured in full waits as it does by default.
    """
    if preset == "smoke":
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _events(path: Path | None, recipe: Recipe) -> Events:
    """To whom this process tells how it goes: a harness or a terminal, and of several only the first."""
    if recipe.gpus > 1 and os.environ["RANK"] != "0":
        return Events()
    return Events(path) if path else report.Watched()


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


def _failed(why: str, events: Path | None, kind: str = "recipe_error") -> int:
    if events:
        with contextlib.suppress(OSError):
            Events(events).send("failure", kind=kind, message=why[:2000])
    print(why, file=sys.stderr)
    return 1
