"""The processes a supervisor keeps: each in a session of its own, watched, stopped with all it fathered."""

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import psutil

MARK = "SPECTRUM_STACK"  # in each child's environment: whose it is, should its supervisor be killed
LOG_LIMIT = 8 * 2**20  # bytes; one earlier file is kept beside it
LONGEST_PAUSE_S = 30
SETTLED_S = 60  # alive this long, a child is well again


class Child:
    """One long-lived process of the stack in `var`, its log, and when it may be started again."""

    def __init__(self, name, command, var, stop_limit_s=10, may_leave=False):
        """One that `may_leave` is not started again after it ended well: somebody told it to go."""
        self.name, self.command, self.var, self.stop_limit_s = name, command, var, stop_limit_s
        self.may_leave, self.left = may_leave, False
        self.process, self.started, self.deaths = None, 0.0, 0

    @property
    def log(self):
        return self.var / "log" / f"{self.name}.log"

    def start(self):
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output:
            self.process = launch(self.command, self.var, stdout=output, stderr=output)
        self.started = time.monotonic()

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def revive(self):
        """Start a dead child again when its pause is over; a sentence about what happened, or None."""
        if self.alive():
            if time.monotonic() - self.started > SETTLED_S:
                self.deaths = 0
            return None
        if self.left:
            return None
        code = self.process.returncode
        if self.may_leave and code == 0:
            self.left = True
            return f"{self.name} was told to leave, and stays away until the next start"
        pause = min(2**self.deaths, LONGEST_PAUSE_S)
        if time.monotonic() - self.started < pause:
            return None
        self.deaths += 1
        kill_group(self.process.pid)  # what it fathered must not work beside its successor
        self.start()
        return f"{self.name} ended with status {code} and was started again: see {self.log}"

    def stop(self, hurried=lambda: False):
        """End it and all of its group: politely, then, after stop_limit_s or when hurried, by SIGKILL."""
        if self.process is None:
            return
        with suppress(ProcessLookupError):
            self.process.terminate()
        end = time.monotonic() + self.stop_limit_s
        while self.alive() and time.monotonic() < end and not hurried():
            time.sleep(0.05)
        kill_group(self.process.pid)
        self.process.wait()


def launch(command, var, **streams):
    """A process of the stack in `var`, in a session of its own: Ctrl-C in the terminal is not for it."""
    return subprocess.Popen(
        command,
        cwd=Path(__file__).resolve().parent.parent,
        env={**os.environ, "SPECTRUM_VAR": str(var), MARK: str(var), "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        **streams,
    )


def kill_group(pid):
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def last_lines(log, count=20):
    return "\n".join(log.read_text(errors="replace").splitlines()[-count:])


def leftovers(var):
    """Processes of this var's stack, found by their environment: a pid may be somebody else's by now."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(MARK) == str(var):
                found.append(process)
    return found


def stop_leftovers(var, limit_s=5):
    """End what a killed supervisor left behind; how many there were."""
    found = leftovers(var)
    for process in found:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _, stubborn = psutil.wait_procs(found, timeout=limit_s)
    for process in stubborn:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(stubborn, timeout=limit_s)
    return len(found)


def bound_logs(var):
    """Every log over LOG_LIMIT begins again. They are opened for appending, so nobody need be told."""
    for log in (var / "log").glob("*.log"):
        if log.stat().st_size > LOG_LIMIT:
            shutil.copyfile(log, log.with_suffix(".log.1"))
            os.truncate(log, 0)
