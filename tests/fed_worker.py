"""The process behind tests/feeder.py: carries out the order on each line of its input, and answers it."""

import json
import sys

import django

django.setup()

from django.db.models.functions import Now  # noqa: E402

from papers.models import Paper  # noqa: E402
from reproduce import lifecycle  # noqa: E402
from reproduce.models import Run, Worker  # noqa: E402

GPU = {"uuid": "GPU-invented", "name": "Invented GPU", "memory_mb": 80_000}
SLOT = {
    "device": "cuda",
    "gpus": [GPU["uuid"]],
    "name": GPU["name"],
    "memory_gb": 80,
    "state": "idle",
    "why": "",
}


class FedWorker:
    """One slot with one invented GPU."""

    def __init__(self):
        given = {"name": "invented-worker", "host": "invented", "pid": 1, "started": Now(), "seen": Now()}
        self.worker = Worker.objects.create(gpus=[GPU], slots=[SLOT], **given)
        self.lease, self.runs = None, []

    def queue(self, **over):
        """The number of a new run that waits for a GPU."""
        given = {
            "recipe": "flashattention-io",
            "recipe_version": 1,
            "recipe_digest": "0" * 64,
            "preset": "full",
        }
        given |= {
            "paper": Paper.objects.get(key="dao2022flashattention"),
            "device": "cuda",
            "time_limit": 600,
        }
        self.runs.append(Run.objects.create(fingerprint=f"fed-{Run.objects.count()}", **given | over))
        return self.runs[-1].pk

    def claim(self):
        Worker.objects.filter(pk=self.worker.pk).update(seen=Now())
        _, self.lease = lifecycle.claim(self.worker, "cuda", 1, memory_gb=80, device_name=GPU["name"])

    def say(self, **news):
        return lifecycle.heartbeat(self.lease, **news)

    def hand_back(self):
        return lifecycle.hand_back(self.lease, who="feeder", why="told to")

    def finish(self):
        return lifecycle.finish(self.lease, who="feeder", why="told to")

    def fail(self):
        return lifecycle.fail(self.lease, "recipe_error", "It was told to fail.", who="feeder")

    def leave(self):
        if self.lease:
            self.fail()
        for run in self.runs:
            lifecycle.request_cancel(run, who="feeder")
        self.worker.delete()


fed = FedWorker()
for line in sys.stdin:
    name, given = json.loads(line)
    print(json.dumps(getattr(fed, name)(**given)), flush=True)
fed.leave()
