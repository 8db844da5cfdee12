"""A worker of the pool whose runs are toys, whose clock is wrong and whose doorbell is worn out.

All else is the real `manage.py worker`. libfaketime 0.9.10 breaks time.sleep of Python 3.11 and the time-outs of
PostgreSQL, so the clock is bent in Python, before anybody else has seen it.
"""

import os
import sys
import time
from datetime import UTC, datetime

SKEW_S = float(sys.argv[1])
honest = time.time
time.time = lambda: honest() + SKEW_S
time.time_ns = lambda: int(time.time() * 1e9)

import random  # noqa: E402

import django  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.utils import timezone  # noqa: E402

os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
django.setup()
timezone.now = lambda: datetime.fromtimestamp(time.time(), UTC)

from reproduce import execution  # noqa: E402
from reproduce.slots import Slots  # noqa: E402
from tests.chaos import toys  # noqa: E402
from tests.chaos.modes import mode_of  # noqa: E402

ring = Slots.ring


def worn_ring(slots, device):
    """A doorbell that is not heard, or heard more than once, every other time."""
    for _ in range(random.choice([0, 1, 1, 3])):
        ring(slots, device)


execution.command = lambda run, folder: toys.command(run, folder, mode_of(run.parameters))
Slots.ring = worn_ring

if __name__ == "__main__":
    call_command("worker", "--no-gpu", "--cpu-slots", "2")
