"""Runs one recipe in this process and writes its bundle; the only way in which a number is made."""

import errno
import importlib
import os
import random
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reproduce.recipes.context import SEED, Context
from reproduce.recipes.events import Events
from reproduce.recipes.ranks import Ranks, leave
from reproduce.recipes.recording import Recording, gpus_seen, peak_memory
from reproduce.recipes.spec import Recipe
from reproduce.recipes.trace import Trace

__all__ = ["choose_device", "execute", "leave"]

Run = Callable[[Context], None]
# How libraries put it that give no exception of its own to memory that ran out.
OUT_OF_MEMORY = re.compile(
    r"DefaultCPUAllocator: can't allocate memory[^.]*|CUDA error: out of memory|CUBLAS_STATUS_ALLOC_FAILED"
)


class CannotRun(ValueError):
    """This machine cannot run the recipe as asked; the message says what would help."""


def choose_device(wanted: str | None, recipe: Recipe, preset: str) -> torch.device:
    """The device asked for, else a GPU if the recipe wants one and there are enough. Raises CannotRun.

    Each of several processes has a GPU of its own.
    """
    needed, there = max(1, recipe.gpus), torch.cuda.device_count() if torch.cuda.is_available() else 0
    kind = wanted or ("cuda" if recipe.gpus and there >= needed else "cpu")
    if kind == "cuda" and not there:
        raise CannotRun("torch sees no GPU here; use --device cpu with --preset smoke.")
    if kind == "cuda" and there < needed:
        raise CannotRun(f"{recipe.slug} needs {needed} GPUs, and torch sees {there} here.")
    if kind == "cpu" and preset == "full" and recipe.gpus:
        raise CannotRun(
            f"The full preset of {recipe.slug} needs {recipe.gpus} GPU{'s' if recipe.gpus > 1 else ''}; "
            "use --preset smoke on a CPU."
        )
    place = int(os.environ.get("LOCAL_RANK", 0)) if recipe.gpus > 1 else 0
    return torch.device(kind, place) if kind == "cuda" else torch.device(kind)


def execute(
    recipe: Recipe,
    preset: str,
    parameters: Mapping[str, Any],
    device: torch.device,
    out: Path,
    events: Events,
) -> dict[str, Any] | None:
    """Runs the recipe, writes `out`/bundle.json and returns the bundle, whose status says how it went.

    Of several processes only the first writes; the others take part and return None.
    """
    ranks = Ranks(device, several=recipe.gpus > 1)
    run: Run = importlib.import_module(f"reproduce.recipes.{recipe.slug}.run").run
    context = Context(recipe, preset, parameters, device, events, ranks.rank, ranks.size)
    if ranks.rank == 0:
        return _lead(run, context, ranks, out / "bundle.json", events)
    return _follow(run, context, ranks)


def _lead(run: Run, context: Context, ranks: Ranks, path: Path, events: Events) -> dict[str, Any]:
    gpus, unseen = gpus_seen(context.device, range(ranks.size))
    context.gpu = gpus[0] if gpus else None
    trace = Trace(gpus, events)
    recording = Recording.begin(context, trace, unseen)

    def another_failed(failure: dict[str, str]) -> None:
        trace.end()
        context.log(failure.pop("log"))
        print(failure["message"], file=sys.stderr)
        _deliver(recording, failure, [], path, events)

    with trace:
        ranks.begin()
        ranks.watch(another_failed)
        failure, others = _attempt(run, context) or _unreported(context), []
        if failure is None:
            others, failure = ranks.gather()
        ranks.settle(failed=failure is not None)
    return _deliver(recording, failure, others, path, events)


def _follow(run: Run, context: Context, ranks: Ranks) -> None:
    ranks.begin()
    gpus, _ = gpus_seen(context.device, [context.device.index])
    context.gpu = gpus[0] if gpus else None
    if failure := _attempt(run, context):
        message = f"Rank {ranks.rank}: {failure['message']}"
        ranks.failed({**failure, "message": message, "log": "\n".join(context.lines)[-8000:]})
    ranks.done(peak_memory(context.device))


def _attempt(run: Run, context: Context) -> dict[str, str] | None:
    """Runs; returns how it failed, or None."""
    if context.device.type == "cuda":
        torch.cuda.set_device(context.device)
    _seed()
    try:
        run(context)
    except Exception as error:
        traceback.clear_frames(error.__traceback__)  # what filled the memory, if that is why
        traceback.print_exc()
        context.log(traceback.format_exc()[-8000:])
        if asked := _memory_asked(error):
            return {"kind": "out_of_memory", "message": f"The device's memory did not suffice: {asked}."}
        return {"kind": "recipe_error", "message": f"{type(error).__name__}: {str(error)[:500]}"}
    return None


def _memory_asked(error: Exception) -> str | None:
    """What did not fit, if that is why it failed; torch, Python and the libraries each say it their way."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or getattr(error, "errno", 0) == errno.ENOMEM:
        return str(error).split(". ")[0][:300] or type(error).__name__
    found = OUT_OF_MEMORY.search(str(error)) if isinstance(error, RuntimeError) else None
    return found and found[0]


def _unreported(context: Context) -> dict[str, str] | None:
    if missing := context.missing():
        return {"kind": "recipe_error", "message": f"The recipe did not report {', '.join(missing)}."}
    return None


def _deliver(
    recording: Recording,
    failure: dict[str, str] | None,
    others: list[dict[str, Any]],
    path: Path,
    events: Events,
) -> dict[str, Any]:
    if failure:  # told before anything else can go wrong
        events.send("failure", **failure)
    written = recording.write(failure, [peak_memory(recording.context.device), *others], path)
    if not failure:
        events.send("bundle", path=str(path))
    return written


def _seed() -> None:
    random.seed(SEED)
    np.random.seed(SEED)
    torch.manual_seed(SEED)
