"""Everything that is done to the pool while it works, at random, and the book that is kept of it."""

import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil
from celery.exceptions import OperationalError as BrokerError
from django.conf import settings
from django.db import connection
from django.db.models import F

from config import embedded
from reproduce import doorbell, lifecycle, pool, tasks
from reproduce.models import Run, Worker
from tests.chaos import disk
from tests.chaos.asking import persistently, post

DISK_FULL_S = 3
PAUSED_S = HANG_S = 3
WEIGHTS = {
    "recipe": 4, "guard": 3, "worker": 1.5, "beat": 1, "broker": 1, "postgres": 1, "backend": 0.5, "web": 1,
    "cancel": 5, "pause": 1, "drain": 0.5, "ring": 2, "disk": 1, "hang": 0.5, "freeze": 0.3,
}  # fmt: skip
GUARD, TOY = "guard.py", "tests.chaos.toy"
KILLS = ("recipe", "guard", "worker", "beat", "broker", "postgres", "backend", "web")


class Mischief(threading.Thread):
    """Does one deed after the other, `pause_s` apart: those given, or at random until told to stop."""

    def __init__(self, stack, broker, random, token, pause_s, deeds, may_fill):
        super().__init__(name="mischief", daemon=True)
        self.stack, self.broker, self.random, self.token = stack, broker, random, token
        self.pause_s, self.deeds, self.may_fill = pause_s, deeds, may_fill
        self.site, self.runs = settings.SITE_NAME, settings.RUN_DIR
        self.enough = threading.Event()
        self.done, self.hit, self.cancels, self.full = Counter(), set(), [], []

    def run(self):
        for deed in self.deeds or iter(self._choose, None):
            if self.enough.wait(self.pause_s):
                break
            try:
                self.done[deed] += bool(persistently(getattr(self, f"do_{deed}")))
            except (BrokerError, psutil.NoSuchProcess):
                continue  # what we wanted to harm was down already
        connection.close()

    def _choose(self):
        return self.random.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]

    # Kills

    def do_recipe(self):
        return self._kill_of_run("recipe", lambda command: TOY in command and GUARD not in command)

    def do_guard(self):
        return self._kill_of_run("guard", lambda command: GUARD in command)

    def do_worker(self):
        return self._kill(self._ours("tests.chaos.worker"))

    def do_beat(self):
        return self._kill(self._ours("beat"))

    def do_web(self):
        return self._kill(self._ours("granian"))

    def do_broker(self):
        return self._kill(self._named(self.broker.process))

    def do_postgres(self):
        return self._kill(embedded.processes(self.stack.var, "postgres")[:1])

    def do_backend(self):
        """One server process: PostgreSQL then ends all others itself, and recovers."""
        return self._kill(embedded.processes(self.stack.var, "postgres")[1:])

    def _kill(self, found):
        if found:
            self.random.choice(found).kill()
        return bool(found)

    def _kill_of_run(self, kind, is_one):
        found = [one for one in processes_of_runs(self.site) if is_one(command_of(one[0]))]
        if found:
            process, name = self.random.choice(found)
            process.kill()
            self.hit.add((kind, name))
        return bool(found)

    def _ours(self, part):
        return [process for process in self.stack.marked() if part in command_of(process)]

    def _named(self, name):
        return [
            process for process in psutil.process_iter() if process.name() == name and self._is_ours(process)
        ]

    def _is_ours(self, process):
        """By its folder, since Redis writes over its own environment."""
        with suppress(psutil.Error):
            return self.stack.var in Path(process.cwd()).parents
        return False

    # What is no kill

    def do_cancel(self):
        """Whoever it belongs to, waiting or running, as an operator would."""
        going = list(Run.objects.filter(status__in=["queued", "running"]).values_list("pk", flat=True))
        if going:
            pk = self.random.choice(going)
            self.cancels.append(pk)  # though the answer be lost, it may have been heard
            return post(f"{self.stack.url}/api/runs/{pk}/cancel", self.token) == 200
        return False

    def do_pause(self):
        worker = self._somebody()
        if worker is None or not pool.give_orders(worker, "pause", who="chaos"):
            return False
        self.enough.wait(PAUSED_S)
        return resume_all()

    def do_drain(self):
        worker = self._somebody()
        return worker is not None and pool.give_orders(worker, "drain", who="chaos")

    def _somebody(self):
        serving = list(pool.alive_workers().filter(orders="serve"))
        return self.random.choice(serving) if serving else None

    def do_ring(self):
        """Messages that nobody sent, twice."""
        for _ in range(2):
            doorbell.ring("cpu")
            tasks.sweep.apply_async(queue="house", retry=False)
        return True

    def do_disk(self):
        if not self.may_fill:
            return False
        began = time.time()
        ballast = disk.fill(self.runs)
        self.enough.wait(DISK_FULL_S)
        ballast.unlink()
        self.full.append((began, time.time()))
        return True

    def do_hang(self):
        """A broker that takes messages and does nothing."""
        found = self._named(self.broker.process)
        for process in found:
            process.suspend()
            self.enough.wait(HANG_S)
            process.resume()
        return bool(found)

    def do_freeze(self):
        """A worker that stands still until its leases are over, and then goes on as if nothing had been."""
        workers = self._ours("tests.chaos.worker")
        if not workers:
            return False
        frozen = self.random.choice(workers)
        below = {process.pid for process in frozen.children(recursive=True)}
        self.hit |= {
            ("freeze", name) for process, name in processes_of_runs(self.site) if process.pid in below
        }
        frozen.suspend()
        threading.Timer(lifecycle.LEASE.seconds + 8, thaw, [frozen]).start()
        return True


def thaw(process):
    with suppress(psutil.NoSuchProcess):
        process.resume()


def resume_all():
    """Nobody stays paused."""
    return bool(
        Worker.objects.filter(orders="pause").update(orders="serve", ordered_by="chaos", ordered=F("seen"))
    )


def processes_of_runs(site):
    """Every living process of a run of this site, with the run and attempt that its environment names."""
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            name = process.environ().get("SPECTRUM_RUN", "")
            if name.startswith(f"{site}-") and process.status() != psutil.STATUS_ZOMBIE:
                yield process, tuple(map(int, name.removeprefix(f"{site}-").split("-")))


def command_of(process):
    with suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""
