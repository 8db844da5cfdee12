"""Rows of reproduce for the tests, with sensible values for whatever a test does not care about."""

import itertools

from django.db.models.functions import Now

from reproduce.models import Measurement, Run, Worker
from tests.making import make_paper

numbers = itertools.count(1)
CPU_SLOT = {"device": "cpu", "gpus": [], "name": "CPU", "memory_gb": None, "state": "idle", "why": ""}


def make_worker(**over):
    number = next(numbers)
    given = {"name": f"worker-{number}", "host": "host", "pid": number, "started": Now(), "seen": Now()}
    given["slots"] = [CPU_SLOT]
    return Worker.objects.create(**{**given, **over})


def make_run(**over):
    number = next(numbers)
    given = {
        "recipe": "flashattention-io",
        "recipe_version": 1,
        "recipe_digest": "0" * 64,
        "preset": "smoke",
        "device": "cpu",
        "time_limit": 60,
        "fingerprint": f"question-{number}",
    }
    if "paper" not in over:
        given["paper"] = make_paper()
    return Run.objects.create(**{**given, **over})


def make_measurement(run, **over):
    given = {
        "name": "speedup",
        "label": "Speed-up",
        "metric": "speedup_x",
        "value": 2.0,
        "low": 1.9,
        "high": 2.1,
    }
    given |= {"n": 30, "verdict": "not_comparable", "verdict_reason": "It is not scored."}
    return Measurement.objects.create(run=run, **given | over)
