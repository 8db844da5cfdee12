"""What the benchmark of the pool starts: a worker whose runs do nothing, and Celery whose tasks do nothing.

python idlers.py worker MODE | python idlers.py celery THREADS TASKS FILE
"""

import itertools
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"

import django

django.setup()

from celery import current_app, shared_task  # noqa: E402
from django.core.management import call_command  # noqa: E402

from reproduce import execution  # noqa: E402
from tests.chaos import toys  # noqa: E402

done = itertools.count(1)


@shared_task(name="idlers.nothing")
def nothing():
    """A task that only counts itself; the last one leaves a file."""
    if next(done) == int(sys.argv[3]):
        Path(sys.argv[4]).touch()


def worker(mode):
    """Of two slots, whose toys end at once ("noop") or go on for a while ("slow")."""
    execution.command = lambda run, folder: toys.command(run, folder, mode)
    call_command("worker", "--no-gpu", "--cpu-slots", "2")


def celery(threads, *_):
    options = ["--pool=threads", f"--concurrency={threads}", "--queues=bare", "--loglevel=WARNING"]
    current_app.worker_main(["worker", *options, "--without-gossip", "--without-mingle"])


if __name__ == "__main__":
    {"worker": worker, "celery": celery}[sys.argv[1]](*sys.argv[2:])
