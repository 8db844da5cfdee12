"""A bundle's way into the columns of a run, and back out to whoever downloads it."""

import gzip
import hashlib
from typing import Any

from reproduce.models import Run


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


def pack(raw: bytes) -> dict[str, Any]:
    """The bundle's bytes as Run keeps them."""
    return {"bundle": gzip.compress(raw, mtime=0), "bundle_sha256": hashlib.sha256(raw).hexdigest()}


def unpack(run: Run) -> bytes | None:
    """The very bytes that the recipe wrote, for download; None if this run kept none."""
    return gzip.decompress(run.bundle) if run.bundle else None
