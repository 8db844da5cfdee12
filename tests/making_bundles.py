"""Bundles as a recipe would have written them on somebody's machine, of invented numbers."""

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from reproduce.recipes import bundle, spec
from tests.making import make_claim, make_paper

SLUG = "flashattention-io"
DEVICE = "Invented H-1"
SAMPLES = {"papers_shape": {"standard": [2.0, 2.5], "flash": [1.0, 1.25]}, "quality": {"full": [[3.0, 4.0]]}}


def make_flash():
    """The paper of SLUG with its headline claim."""
    paper = make_paper(key="dao2022flash", identifiers=[("arxiv", "2205.14135")])
    make_claim(paper, value=5.71, low=5.0, high=7.6)
    return paper


def make_metrics(value=6.0):
    recipe = spec.load(SLUG)
    around = {"value": value, "low": value - 0.1, "high": value + 0.1, "n": 30}
    beside = {"predicted": 7.7, "predicted_note": "", "noise": 0.001, "detail": {}}
    return [{"name": each.name, "unit": recipe.unit(each.name)} | around | beside for each in recipe.measures]


def make_report(**over):
    recipe, now = spec.load(SLUG), datetime(2026, 1, 2, tzinfo=UTC)
    preset = over.get("preset", "full")
    return {
        "schema": 1,
        "recipe": {"slug": SLUG, "version": recipe.version, "digest": recipe.digest},
        "preset": preset,
        "parameters": recipe.parameters(preset, {}),
        "device": {"kind": "cuda", "name": DEVICE, "count": 1},
        "started": now.isoformat(),
        "finished": (now + timedelta(seconds=60)).isoformat(),
        "status": "done",
        "failure": None,
        "metrics": make_metrics(),
        "guards": [{"name": "exact", "passed": True, "value": 0.1, "limit": 0.2, "detail": "It is right."}],
        "series": [],
        "trace": [],
        "environment": {
            "accelerator": {"name": DEVICE},
            "measurement": {"comparisons": {"papers_shape": {}}},
        },
        "gpu_seconds": 60.0,
        "energy_j": None,
        "log": "a line",
    } | over


def make_bundle(samples=SAMPLES, **over):
    """The bytes of bundle.json."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bundle.json"
        bundle.write(path, make_report(**over), samples=samples)
        return path.read_bytes()
