"""A worker: finds its slots, announces itself, and answers doorbells until it is told to stop."""

import argparse
import threading

from celery import current_app
from celery.signals import worker_init, worker_shutting_down
from django.core.management.base import BaseCommand

from reproduce import doorbell, lifecycle, pool
from reproduce.slots import slots

HOUSEKEEPING_THREADS = 2  # sweeping, and doorbells that find every slot taken


class Command(BaseCommand):
    help = "Execute reproduction runs: one slot for each GPU found, and one for the CPU."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--cpu-slots", type=int, default=1, help="runs on the CPU at the same time")
        parser.add_argument("--no-gpu", action="store_true", help="leave the GPUs of this host alone")
        parser.add_argument("--loglevel", default="INFO")

    def handle(self, *, cpu_slots: int, no_gpu: bool, loglevel: str, **_: object) -> None:
        gpus = [] if no_gpu else pool.find_gpus()
        worker = pool.announce(cpu_slots, gpus)
        slots.open(worker)
        announcing = threading.Thread(target=pool.keep_announcing, args=[worker, slots.stopping])
        announcing.start()
        self.stdout.write(f"{worker.name}: {cpu_slots} CPU slots, {len(gpus)} GPUs")
        # Whoever comes up looks at the rows first: messages sent while nobody lived are gone.
        worker_init.connect(look_around, weak=False)
        worker_shutting_down.connect(hand_back, weak=False)
        try:
            current_app.worker_main(self._celery(worker.name, cpu_slots + len(gpus), bool(gpus), loglevel))
        finally:
            slots.stopping.set()
            announcing.join()

    def _celery(self, name: str, slot_count: int, has_gpu: bool, loglevel: str) -> list[str]:
        queues = ["cpu", "house"] + ["cuda"] * has_gpu
        return [
            "worker",
            "--pool=threads",
            f"--concurrency={slot_count + HOUSEKEEPING_THREADS}",
            f"--hostname={name}",
            f"--queues={','.join(queues)}",
            "--without-gossip",
            "--without-mingle",
            f"--loglevel={loglevel}",
        ]


def look_around(**_: object) -> None:
    lifecycle.sweep()
    for device in lifecycle.waiting_devices():
        doorbell.ring(device)


def hand_back(**_: object) -> None:
    """Told to stop: every slot ends its child and gives its run back to the queue."""
    slots.stopping.set()
