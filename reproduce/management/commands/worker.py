"""A worker: finds its GPUs, opens its slots, announces itself, and hears doorbells until told to stop."""

import argparse
import threading

from celery import current_app
from celery.signals import worker_shutting_down
from django.core.management.base import BaseCommand, CommandError

from reproduce import cuda, gpus, pool
from reproduce.slots import Slot, lay_out, slots

LISTENERS = 2  # threads of Celery's own: the runs have threads of theirs, the slots


class Command(BaseCommand):
    help = "Execute reproduction runs: by default one slot for each GPU found, and one for the CPU."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--slots", default="", help='GPUs in groups: "2x1,1x2" is two single, one pair')
        parser.add_argument("--cpu-slots", type=int, default=1, help="runs on the CPU at the same time")
        parser.add_argument("--no-gpu", action="store_true", help="leave the GPUs of this host alone")
        parser.add_argument("--label", action="append", default=[], help="what runs may ask of a worker")
        parser.add_argument("--loglevel", default="INFO")

    def handle(self, *, cpu_slots: int, no_gpu: bool, label: list[str], loglevel: str, **given: str) -> None:
        found = [] if no_gpu else gpus.find_gpus()
        try:
            groups = lay_out(given["slots"], found) + [[]] * cpu_slots
        except ValueError as error:
            raise CommandError(str(error)) from error
        left_open = cuda.fences_to_leave_open([gpu["uuid"] for gpu in found]) if any(groups) else ()
        opened = [Slot(number, group, left_open if group else ()) for number, group in enumerate(groups)]
        worker = pool.announce(opened, found, label, left_open)
        self.stdout.write(f"{worker.name}: {len(opened) - cpu_slots} GPU slots, {cpu_slots} CPU slots")
        worker_shutting_down.connect(stop, weak=False)
        keeping = threading.Thread(target=pool.keep_house, args=[worker, opened, slots.stopping])
        keeping.start()
        slots.open(worker, opened)
        try:
            current_app.worker_main(self._celery(worker.name, loglevel))
        finally:
            slots.close()
            keeping.join()

    def _celery(self, name: str, loglevel: str) -> list[str]:
        return [
            "worker",
            "--pool=threads",
            f"--concurrency={LISTENERS}",
            f"--hostname={name}",
            "--queues=house",
            "--without-gossip",
            "--without-mingle",
            f"--loglevel={loglevel}",
        ]


def stop(**_: object) -> None:
    """Told to stop: every slot finishes its run, or ends it and gives it back to the queue."""
    slots.stopping.set()
