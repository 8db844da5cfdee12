"""A worker by remote control, in a process of its own: it claims a run of a stack and says what a test has it say."""

import json
import subprocess
import sys
from contextlib import contextmanager


class Feeder:
    """Each order of tests/fed_worker.py as a method: it is carried out, and committed, when that returns."""

    def __init__(self, process):
        self._process = process

    def __getattr__(self, name):
        def order(**given):
            self._process.stdin.write(json.dumps([name, given]) + "\n")
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())

        return order


@contextmanager
def feeding(stack):
    """A Feeder of that stack. What it left running is ended, and its worker is gone."""
    command = [sys.executable, "-m", "tests.fed_worker"]
    process = stack.run(subprocess.Popen, command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield Feeder(process)
    finally:
        process.stdin.close()
        process.wait(timeout=30)
