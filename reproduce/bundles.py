"""A bundle's way into the columns of a run, and back out to whoever downloads it."""

import gzip
import hashlib
from typing import Any

from reproduce.models import Run
from reproduce.recipes.spec import Recipe


def columns(report: dict[str, Any]) -> dict[str, Any]:
    """The columns of Run that a checked bundle fills."""
    return {
        "device_name": report["device"]["name"],
        "guards": report["guards"],
        "series": report["series"],
        "trace": report["trace"],
        "environment": report["environment"],
        "gpu_seconds": report["gpu_seconds"],
        "energy_j": report["energy_j"],
    }


def misfit(report: dict[str, Any], recipe: Recipe) -> str:
    """Why a checked bundle is no result of this recipe, as the end of a sentence; empty if it is one."""
    if report["status"] != "done":
        return "it says that it failed"
    promised = [measure.name for measure in recipe.measures]
    given = [metric["name"] for metric in report["metrics"]]
    if sorted(promised) != sorted(given):
        return f"it measured {', '.join(given) or 'nothing'} instead of {', '.join(promised)}"
    return ""


def pack(raw: bytes) -> dict[str, Any]:
    """The bundle's bytes as Run keeps them."""
    return {"bundle": gzip.compress(raw, mtime=0), "bundle_sha256": hashlib.sha256(raw).hexdigest()}


def unpack(run: Run) -> bytes | None:
    """The very bytes that the recipe wrote, for download; None if this run kept none."""
    return gzip.decompress(run.bundle) if run.bundle else None
