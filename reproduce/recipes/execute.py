"""Runs one recipe in this process and writes its bundle; the only way in which a number is made."""

import importlib
import random
import sys
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reproduce.recipes import TOOLBOX_VERSION, bundle, environment, toolbox
from reproduce.recipes.context import SEED, Context
from reproduce.recipes.events import Events
from reproduce.recipes.gpu import Gpu, GpuUnseen
from reproduce.recipes.spec import Recipe
from reproduce.recipes.trace import THROTTLED_LIMIT, Trace


class CannotRun(ValueError):
    """This machine cannot run the recipe as asked; the message says what would help."""


def choose_device(wanted: str | None, recipe: Recipe, preset: str) -> torch.device:
    """The device asked for, else the GPU if there is one. Raises CannotRun."""
    kind = wanted or ("cuda" if torch.cuda.is_available() else "cpu")
    if kind == "cuda" and not torch.cuda.is_available():
        raise CannotRun("torch sees no GPU here; use --device cpu with --preset smoke.")
    if kind == "cpu" and preset == "full" and recipe.gpus:
        raise CannotRun(
            f"The full preset of {recipe.slug} needs {recipe.gpus} GPU; use --preset smoke on a CPU."
        )
    return torch.device(kind, 0) if kind == "cuda" else torch.device(kind)


def execute(
    recipe: Recipe,
    preset: str,
    parameters: Mapping[str, Any],
    device: torch.device,
    out: Path,
    events: Events,
) -> dict[str, Any]:
    """Runs the recipe, writes `out`/bundle.json and returns the bundle, whose status says how it went."""
    run: Callable[[Context], None] = importlib.import_module(f"reproduce.recipes.{recipe.slug}.run").run
    gpu, unseen = _gpu(device)
    started, before = datetime.now(UTC), environment.clocks(gpu)
    context = Context(recipe, preset, parameters, device, events, gpu)
    _seed()
    with Trace(gpu, events) as trace:
        failure = _attempt(run, context)
    if failure is None:
        _guard_gpu(context, trace)
    measurement = _measurement(context, trace, unseen, before)
    data = {
        "schema": 1,
        "recipe": {"slug": recipe.slug, "version": recipe.version, "digest": recipe.digest},
        "preset": preset,
        "parameters": dict(parameters),
        "device": {"kind": device.type, "name": _device_name(device), "count": 1},
        "started": started.isoformat(timespec="milliseconds"),
        "finished": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "status": "failed" if failure else "done",
        "failure": failure,
        "metrics": context.metrics,
        "guards": context.guards,
        "series": context.series,
        "trace": trace.points,
        "environment": _environment(context, measurement),
        "gpu_seconds": trace.seconds if device.type == "cuda" else 0.0,
        "energy_j": trace.joules,
        "log": "\n".join(context.lines),
    }
    return _deliver(data, context, out, events)


def _attempt(run: Callable[[Context], None], context: Context) -> dict[str, str] | None:
    """Runs; returns how it failed, or None."""
    try:
        run(context)
    except (torch.OutOfMemoryError, MemoryError) as error:
        traceback.print_exc()
        asked = str(error).split(". ")[0][:300]
        return {"kind": "out_of_memory", "message": f"The device's memory did not suffice: {asked}."}
    except Exception as error:
        traceback.print_exc()
        context.log(traceback.format_exc()[-8000:])
        return {"kind": "recipe_error", "message": f"{type(error).__name__}: {str(error)[:500]}"}
    if missing := context.missing():
        return {"kind": "recipe_error", "message": f"The recipe did not report {', '.join(missing)}."}
    return None


def _deliver(data: dict[str, Any], context: Context, out: Path, events: Events) -> dict[str, Any]:
    out.mkdir(parents=True, exist_ok=True)
    path = out / "bundle.json"
    written = bundle.write(path, data, context.samples)
    if written["failure"]:
        events.send("failure", **written["failure"])
    else:
        events.send("bundle", path=str(path))
    return written


def _guard_gpu(context: Context, trace: Trace) -> None:
    if trace.gpu is None:
        return
    context.guard(
        "alone_on_gpu",
        trace.other_processes,
        0,
        "Other processes held memory of the GPU before or after the run.",
    )
    context.guard(
        "unthrottled",
        trace.throttled,
        THROTTLED_LIMIT,
        "Share of the trace in which heat or hardware held the clocks down; the card's own power limit "
        f"did in {trace.power_capped:.0%}, which is its normal full load.",
    )


def _measurement(
    context: Context, trace: Trace, unseen: str | None, before: dict[str, Any] | None
) -> dict[str, Any]:
    return {
        "toolbox": TOOLBOX_VERSION,
        "clock": "CUDA events" if context.device.type == "cuda" else "perf_counter",
        "flush_bytes": toolbox.FLUSH_BYTES if context.device.type == "cuda" else 0,
        "order": "all arms each round, each in every place equally often; the baseline twice (A/A)",
        "outliers": "none removed; medians",
        "comparisons": context.timings,
        "gpu_before": before,
        "gpu_after": environment.clocks(trace.gpu),
        "power_capped_share": trace.power_capped,
        "throttled_share": trace.throttled,
        "other_processes": trace.other_processes,
        "unseen": unseen,
        "peak_allocated_bytes": torch.cuda.max_memory_allocated() if trace.gpu else None,
    }


def _environment(context: Context, measurement: dict[str, Any]) -> dict[str, Any]:
    return {
        "identity": {
            "slug": context.recipe.slug,
            "version": context.recipe.version,
            "claims": [measure.claim for measure in context.recipe.measures if measure.claim],
        },
        "code": environment.code(),
        "host": environment.host(),
        "accelerator": environment.accelerator(context.device, context.gpu),
        "numerics": environment.numerics(context.device, SEED),
        "data": context.data,
        "measurement": measurement,
    }


def _gpu(device: torch.device) -> tuple[Gpu | None, str | None]:
    """NVML's view of the device, or why there is none."""
    if device.type != "cuda":
        return None, "not a GPU: no trace, no energy"
    try:
        return Gpu(device.index or 0), None
    except GpuUnseen as error:
        print(f"No trace and no energy: {error}.", file=sys.stderr)
        return None, str(error)


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return (environment.host()["cpu"] or "CPU")[:120]


def _seed() -> None:
    random.seed(SEED)
    np.random.seed(SEED)
    torch.manual_seed(SEED)
