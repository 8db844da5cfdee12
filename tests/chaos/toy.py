"""A recipe that measures nothing and misbehaves on demand, in milliseconds: no torch, a sound bundle all the same."""

import json
import os
import resource
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from reproduce.recipes import bundle
from reproduce.recipes.events import Events
from tests.chaos import ledger
from tests.chaos.modes import numbers_of

STEPS = 5
LONGEST_S = 100  # no process of a toy lives longer, whatever else fails


def main(given, events):
    toy = Toy(given, events)
    ledger.mark(toy.folder, "begin")
    MODES[given["mode"]](toy)
    ledger.mark(toy.folder, "end")
    return 0


class Toy:
    def __init__(self, given, events):
        self.given, self.events, self.folder = given, events, Path(given["folder"])
        self.bundle = self.folder / "bundle.json"

    def work(self, seconds):
        """Say how it goes, in steps."""
        for step in range(STEPS):
            self.events.send("progress", fraction=step / STEPS, step=f"step {step}")
            print(f"line {step} of run {self.given['run']}", flush=True)
            time.sleep(seconds / STEPS)
            ledger.mark(self.folder, "alive")

    def write(self, **over):
        """A bundle whose numbers follow from the run, and whose n says which attempt it was."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        numbers = numbers_of(self.given["run"], self.given["measures"])
        data = {
            "schema": 1,
            "recipe": self.given["recipe"],
            "preset": "smoke",
            "parameters": self.given["parameters"],
            "device": {"kind": "cpu", "name": "toy", "count": 1},
            "started": now,
            "finished": now,
            "status": "done",
            "failure": None,
            "metrics": [measured(name, value, self.given["attempt"]) for name, value in numbers.items()],
            "guards": [],
            "series": [],
            "trace": [],
            "environment": {"identity": {}, "toy": f"{self.given['run']}-{self.given['attempt']}"},
            "gpu_seconds": 0.0,
            "energy_j": None,
            "log": "",
        }
        bundle.write(self.bundle, data | over, {})


def measured(name, value, attempt):
    given = {"name": name, "value": value, "low": value - 0.5, "high": value + 0.5, "n": attempt, "unit": "x"}
    return given | {"predicted": None, "predicted_note": "", "noise": None, "detail": {}}


def noop(toy):
    """For the benchmark of the pool."""
    toy.work(0)
    toy.write()


def quick(toy):
    toy.work(0.2)
    toy.write()


def slow(toy):
    toy.work(4)
    toy.write()


def stubborn(toy):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    slow(toy)


def forks(toy):
    for _ in range(2):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                linger(toy)
            os._exit(0)
    quick(toy)


def linger(toy):
    """What somebody who wanted to outlive the run would do; every sign of life goes into the ledger."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for _ in range(LONGEST_S * 5):
        ledger.mark(toy.folder, "alive")
        time.sleep(0.2)
    os._exit(0)


def loud(toy):
    line = b"loud: " + b"x" * 193 + b"\n"
    for _ in range(toy.given["shout_mb"]):
        for _ in range(100):
            os.write(1, line * 50)
    quick(toy)


def hog(toy):
    kept = []
    try:
        for _ in range(24):
            kept.append(os.urandom(2**20) * 50)
            time.sleep(0.05)
    except MemoryError:
        confess(toy)
    hang(toy)


def confess(toy):
    toy.events.send("failure", kind="out_of_memory", message="The toy's memory did not suffice.")
    sys.exit(1)


def crash(toy):
    toy.work(0.2)
    raise RuntimeError("the toy broke")


def segfault(toy):
    os.kill(os.getpid(), signal.SIGSEGV)


def no_space(toy):
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    toy.write()


def nan(toy):
    toy.write()
    text = toy.bundle.read_text()
    toy.bundle.write_text(text.replace('"gpu_seconds": 0.0', '"gpu_seconds": NaN'))


def garbage(toy):
    toy.bundle.write_bytes(os.urandom(100_000))


def nothing(toy):
    toy.work(0.2)


def stranger(toy):
    toy.write(recipe=toy.given["recipe"] | {"digest": "0" * 64})


def hang(toy):
    time.sleep(LONGEST_S)


MODES = {
    act.__name__: act
    for act in (
        noop, quick, slow, stubborn, forks, loud, hog, confess, crash, segfault, no_space, nan, garbage, nothing,
        stranger, hang,
    )
}  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1]), Events(Path(sys.argv[3]))))
