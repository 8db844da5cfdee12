"""A whole Spectrum as `make up` starts it, in a var folder of its own, for tests that must see the real thing."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from config import embedded
from config.children import leftovers

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
READY = "Ctrl-C stops everything"
START_LIMIT_S = 180


class Stack:
    """A running `python -m config.up`: its address, its var folder, what it printed."""

    def __init__(self, checkout, var, port, **environment):
        self.checkout, self.var, self.port = Path(checkout), Path(var), port
        self.url, self.identity = f"http://127.0.0.1:{port}", {}
        own = {"SPECTRUM_VAR": str(var), "PORT": str(port), "SPECTRUM_LEARN": "0"}  # it takes seconds
        self.environment = {**os.environ, **own, **environment}
        self.output = self.var.parent / f"{self.var.name}-output.txt"
        self.process = None

    def start(self, command=(sys.executable, "-m", "config.up")):
        """Start it and return once it says that it is up."""
        with self.output.open("wb") as output:
            self.process = self.run(subprocess.Popen, command, stdout=output, stderr=subprocess.STDOUT)
        end = time.monotonic() + START_LIMIT_S
        while READY not in self.said():
            assert self.process.poll() is None and time.monotonic() < end, self.said()
            time.sleep(0.1)
        return self

    def run(self, how, command, **options):
        """subprocess.run or Popen with this stack's folder, environment and account, in a session of its own."""
        options = {"cwd": self.checkout, "start_new_session": True, **self.identity, **options}
        return how([str(part) for part in command], env=self.environment, **options)

    def manage(self, *arguments, **options):
        """Run manage.py in this stack and return what it printed."""
        command = [sys.executable, "manage.py", *arguments]
        return self.run(subprocess.run, command, check=True, capture_output=True, text=True, **options).stdout

    def said(self):
        return self.output.read_text(errors="replace")

    def get(self, path="/"):
        """Status and text of a page."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=20) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def sql(self, query, *values):
        """Rows of a query to this stack's database, committed."""
        with psycopg.connect(embedded.database_url(self.var), autocommit=True) as connection:
            cursor = connection.execute(query, values)
            return cursor.fetchall() if cursor.description else []

    def processes(self):
        """Every living process of this stack: supervisor, children, servers."""
        servers = [process for engine in embedded.ENGINES for process in embedded.processes(self.var, engine)]
        return [*self._family(), *leftovers(self.var), *servers]

    def _family(self):
        """What we started and its descendants: `make` has the supervisor as a child."""
        if self.process is None or self.process.poll() is not None:
            return []
        started = psutil.Process(self.process.pid)
        return [started, *started.children(recursive=True)]

    def kill_everything(self):
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()
        wait_until(lambda: self.processes() == [])

    def stop(self, signal_number=signal.SIGINT):
        """Signal it and its group, as Ctrl-C does; its exit status."""
        os.killpg(self.process.pid, signal_number)
        return self.process.wait(timeout=90)

    def admin_password(self):
        return (self.var / "admin-password").read_text().strip()


@contextmanager
def running_stack(checkout, var, **environment):
    stack = Stack(checkout, var, free_port(), **environment)
    try:
        yield stack.start()
    finally:
        if stack.process.poll() is None:
            stack.stop()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition, limit_s=60):
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, f"not true within {limit_s} s"
        time.sleep(0.1)


def chromium():
    """The path of a Chromium. Root gets one from Debian; without one, tests fail under CI=true and else skip."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium"], check=True)
        found = shutil.which("chromium")
    if found is None:
        reason = "no browser: install chromium, or name one in CHROMIUM"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    return found
