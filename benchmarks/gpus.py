"""The pool on this machine's GPUs, with a real worker: pins, pairs, strangers, cancels, a killed worker.

Needs torch with CUDA. Prints what happened and how long it took; ends with 1 if any of it is not as it
should be. `--keep DIR` also runs two recipes in full and writes their bundles there.
"""

import argparse
import atexit
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import throwaway
from throwaway import CHECKOUT, VAR

TOYS = ("toy-one", "toy-pair")
RECIPES = CHECKOUT / "reproduce" / "recipes"
HOLD = "import torch, sys; x = torch.ones(2**30, device='cuda'); print('held', flush=True); sys.stdin.read()"
faults = []


def begin():
    """Engines, tables, corpus, and meanwhile two toys among the recipes, for one GPU and for two."""
    for toy in TOYS:
        shutil.copytree(CHECKOUT / "tests" / "data" / toy, RECIPES / toy, dirs_exist_ok=True)
        atexit.register(shutil.rmtree, RECIPES / toy)
    throwaway.begin(engines=("postgres", "valkey"), corpus=True)


class Worker:
    """`manage.py worker` with the given options, in a process of its own."""

    def __init__(self, *options):
        with (VAR / "worker.log").open("ab") as log:
            command = [sys.executable, "manage.py", "worker", "--skip-checks", "--cpu-slots", "0", *options]
            self.process = subprocess.Popen(command, cwd=CHECKOUT, stdout=log, stderr=log)
        until(lambda: self.row() is not None, 60)

    def row(self):
        return models.Worker.objects.filter(pid=self.process.pid, stopped=None).first()

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        self.process.wait(60)


def until(condition, limit_s):
    """Seconds until it holds; None if it does not within the limit."""
    begun = time.monotonic()
    while not condition():
        if time.monotonic() - begun > limit_s:
            return None
        time.sleep(0.02)
    return time.monotonic() - begun


def check(what, holds, said=""):
    print(f"  {'ok   ' if holds else 'FAULT'} {what}{f': {said}' if said else ''}", flush=True)
    if not holds:
        faults.append(what)


def ask(recipe, **typed):
    run, _ = demand.request_run(recipe, preset="full", typed=typed, who=admin, fresh=True)
    return run


def fresh(run):
    run.refresh_from_db()
    return run


def is_measuring(run):
    return fresh(run).progress > 0.05


def used_mb():
    return [gpus.used_mb(gpu["uuid"]) for gpu in found]


def each_gpu_has_its_run_and_cancelling_frees_it():
    before, worker = used_mb(), Worker()
    runs = [ask("toy-one", seconds=60 + number) for number in range(len(found))]
    check("every slot takes a run", all(until(lambda run=run: is_measuring(run), 40) for run in runs))
    taken = [now - was for now, was in zip(used_mb(), before, strict=True)]
    check("each run has a GPU of its own", all(mb > 4096 for mb in taken), f"{taken} MB more")
    trace = [len(journal.trace_of(run)) for run in runs]
    check("the trace grows while it runs", all(trace), f"{trace} points")
    for run in runs:
        lifecycle.request_cancel(run, who="benchmark")
    times = [until(lambda run=run: fresh(run).status == "cancelled", 30) for run in runs]
    check("cancelled within 5 s", all(t is not None and t <= 5 for t in times), f"{times} s")
    check("the run says so", all("its GPU memory is back" in run.message for run in runs), runs[0].message)
    kept = [now - was for now, was in zip(used_mb(), before, strict=True)]
    check("the memory is back at that moment", all(mb <= gpus.SETTLED_MB for mb in kept), f"{kept} MB more")
    worker.stop()


def a_stranger_keeps_its_gpu():
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": found[0]["uuid"]},
    )  # fmt: skip
    holder.stdout.readline()
    worker = Worker("--slots", "1x1")
    run = ask("toy-one")
    said = until(lambda: worker.row().slots[0]["state"] == "blocked", 30)
    check("a slot whose GPU somebody uses waits", said is not None, worker.row().slots[0]["why"])
    check("its run stays in the queue", fresh(run).status == "queued")
    holder.communicate(timeout=30)
    check("and begins when the GPU is free", until(lambda: fresh(run).status == "running", 30) is not None)
    lifecycle.request_cancel(run, who="benchmark")
    until(lambda: fresh(run).is_final, 30)
    worker.stop()


def a_killed_worker_frees_its_gpu_and_the_run_goes_on_elsewhere():
    before, worker = used_mb(), Worker("--slots", "1x1")
    run = ask("toy-one")
    until(lambda: is_measuring(run), 40)
    worker.stop(signal.SIGKILL)
    back = until(lambda: used_mb()[0] <= before[0] + gpus.SETTLED_MB, 30)
    check("after kill -9 of the worker its GPU is free", back is not None, f"{back and round(back, 2)} s")
    successor = Worker("--slots", "1x1")
    again = until(lambda: fresh(run).status == "running" and run.attempt == 2, 60)
    check("the next worker runs it as attempt 2", again is not None, f"{again and round(again, 1)} s")
    lifecycle.request_cancel(run, who="benchmark")
    until(lambda: fresh(run).is_final, 30)
    successor.stop()


def a_pair_of_gpus():
    worker = Worker("--slots", "1x2")
    for fate, status, failure in (
        ("good", "done", ""),
        ("fill", "failed", "out_of_memory"),
        ("die", "failed", "out_of_memory"),
    ):
        run = ask("toy-pair", fate=fate)
        took = until(lambda run=run: fresh(run).is_final, 60)
        said = f"{run.status} {run.failure} after {took and round(took, 1)} s: {run.message}"
        check(f"two GPUs, the second process {fate}", (run.status, run.failure) == (status, failure), said)
    done = models.Run.objects.filter(recipe="toy-pair", status="done").first()
    seen = sorted({point["gpu"] for point in done.trace}) if done else []
    check("the trace covers both", seen == [0, 1], seen)
    worker.stop()


def whole_runs(folder):
    """Both recipes to their end, their bundles kept."""
    worker = Worker()
    for run in [ask("flashattention-io"), ask("lora-memory")]:
        took = until(lambda run=run: fresh(run).is_final, 400)
        check(f"{run.recipe} in full", run.status == "done", f"{took and round(took)} s more: {run.message}")
        if run.bundle:
            name = f"{run.recipe}-{time.strftime('%Y%m%d')}-{run.pk}.json"
            (Path(folder) / name).write_bytes(bundles.unpack(run))
    worker.stop()


begin()

from django.contrib.auth.models import User  # noqa: E402

from reproduce import bundles, demand, gpus, journal, lifecycle, models  # noqa: E402

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--keep", metavar="DIR")
given = parser.parse_args()
found = gpus.find_gpus()
if not found:
    print("No GPU was found here, so there is nothing to measure.")
    sys.exit()
admin = User.objects.create_superuser("benchmark", password="benchmark")
print(f"{len(found)} GPUs: {', '.join(gpu['name'] for gpu in found)}")
scenes = [
    each_gpu_has_its_run_and_cancelling_frees_it,
    a_stranger_keeps_its_gpu,
    a_killed_worker_frees_its_gpu_and_the_run_goes_on_elsewhere,
]
try:
    for scene in scenes + [a_pair_of_gpus] * (len(found) > 1):
        print(scene.__name__.replace("_", " "), flush=True)
        scene()
    if given.keep:
        whole_runs(given.keep)
finally:
    print((VAR / "worker.log").read_text(errors="replace")[-6000:] if faults else "", end="")
print("Faults: " + ("; ".join(faults) or "none"))
sys.exit(bool(faults))
