"""Which torch: what a run was measured with, what the living workers bring, and which version came first."""

import re

from django.db.models import TextField, Value
from django.db.models.fields.json import KT
from django.db.models.functions import Coalesce

from reproduce import catalogue, pool
from reproduce.models import Run, Worker

MEASURED_WITH = Coalesce(KT("environment__code__packages__torch"), Value(""), output_field=TextField())


def label(torch: str) -> str:
    """The label that every worker with this torch has."""
    return f"torch {torch}"


def order(torch: str) -> tuple[int, ...]:
    """Sorts versions as they came out: 2.9.1 before 2.13.0+cpu. What says nothing comes first."""
    return tuple(int(part) for part in re.findall(r"\d+", torch.partition("+")[0]))


def brought(preset: str) -> list[str]:
    """The versions that living workers with a slot for this preset announce, newest first."""
    device = catalogue.device_of(preset)
    able = pool.alive_workers().filter(orders=Worker.Orders.SERVE)
    found = {
        worker.versions["torch"]
        for worker in able
        if label(worker.versions.get("torch", "")) in worker.labels
        and any(slot["device"] == device for slot in worker.slots)
    }
    return sorted(found, key=lambda torch: (order(torch), torch), reverse=True)


def of_latest_results(preset: str) -> dict[str, str]:
    """What the newest result of each recipe was measured with, by slug; "" where it does not say."""
    results = Run.objects.ours().filter(status="done", preset=preset)
    newest = results.order_by("recipe", "-finished", "-pk").distinct("recipe")
    return dict(newest.values_list("recipe", MEASURED_WITH))
