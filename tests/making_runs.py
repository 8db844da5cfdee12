"""Rows of reproduce for the tests, with sensible values for whatever a test does not care about."""

import itertools

from django.db.models.functions import Now

from reproduce.models import Run, Worker
from tests.making import make_paper

numbers = itertools.count(1)


def make_worker(**over):
    number = next(numbers)
    given = {"name": f"worker-{number}", "host": "host", "pid": number, "started": Now(), "seen": Now()}
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
