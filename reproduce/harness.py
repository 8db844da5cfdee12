"""Runs one recipe as a child process that can be trusted with nothing, and collects what it says.

The child sees a clean environment (no database, no broker, no secret), runs under guard.py, and reports
bounded, schema-checked JSON lines on a descriptor of its own. Losing a log line can never fail a run.
"""

import os
import subprocess
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import psutil

from reproduce.recipes.events import LINE_LIMIT, EventError, decode

CHECKOUT = Path(__file__).resolve().parent.parent
GUARD = Path(__file__).with_name("guard.py")
KEPT_VARIABLES = (
    "PATH",
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "CUDA_HOME",
    "OPENBLAS_CORETYPE",
    "OPENBLAS_L2_SIZE",
)
LOG_HEAD_BYTES, LOG_TAIL_CHARACTERS = 512 * 1024, 64 * 1024
STOP_LIMIT_S = 10


@dataclass
class News:
    """What the child said since the last look."""

    progress: float | None = None
    step: str | None = None
    log: list[str] = field(default_factory=list)
    failure: dict[str, str] | None = None
    faults: int = 0


class Child:
    """One attempt of a run: the guard, the recipe below it, and two threads that read what they say."""

    def __init__(self, command: list[str], *, folder: Path, run_name: str, gpus: list[str]) -> None:
        """Start `command` with --events-fd N added; `gpus` are the UUIDs that it may see. Raises OSError."""
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._news = News()
        self._head, self._tail, self._tail_size = 0, deque(), 0
        lifeline, self._lifeline = os.pipe()
        events, events_in = os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, str(GUARD), str(lifeline), "--", *command, "--events-fd", str(events_in)],
            cwd=folder,
            env=clean_environment(folder, run_name, gpus),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[lifeline, events_in],
            start_new_session=True,
        )
        os.close(lifeline)
        os.close(events_in)
        self.run_name = run_name
        self.started = time.monotonic()
        readers = [(self._read_events, os.fdopen(events, "rb")), (self._read_output, self.process.stdout)]
        self._readers = [threading.Thread(target=read, args=[pipe], daemon=True) for read, pipe in readers]
        for reader in self._readers:
            reader.start()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def news(self) -> News:
        """Everything said since the last call."""
        with self._lock:
            news, self._news = self._news, News(failure=self._news.failure, faults=self._news.faults)
        return news

    def unread(self, news: News) -> None:
        """Put news back that could not be passed on, before whatever was said since."""
        with self._lock:
            self._news.log = news.log + self._news.log
            if self._news.progress is None:
                self._news.progress, self._news.step = news.progress, news.step

    def wait(self, seconds: float) -> bool:
        """Wait that long at most; True once every process of the run has ended and all it said was read."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        for reader in self._readers:
            reader.join(STOP_LIMIT_S)
        self._close_lifeline()
        self._keep_tail()
        return True

    def stop(self) -> bool:
        """Kill every process of the run, and check. True once none is left."""
        self._close_lifeline()
        if not self.wait(STOP_LIMIT_S):
            self.process.kill()
            self.process.wait()
        survivors = strangers(self.run_name)
        for process in survivors:
            process.kill()
        psutil.wait_procs(survivors, timeout=STOP_LIMIT_S)
        return not strangers(self.run_name)

    def memory_bytes(self) -> int:
        """Resident memory of the guard and all that runs below it."""
        try:
            tree = psutil.Process(self.process.pid)
            return sum(_resident(process) for process in [tree, *tree.children(recursive=True)])
        except psutil.NoSuchProcess:
            return 0

    def _close_lifeline(self) -> None:
        lifeline, self._lifeline = self._lifeline, None
        if lifeline is not None:
            os.close(lifeline)

    def _read_events(self, pipe: BinaryIO) -> None:
        with pipe:
            while line := pipe.readline(LINE_LIMIT + 1):
                try:
                    self._take(decode(line))
                except EventError:
                    with self._lock:
                        self._news.faults += 1

    def _take(self, event: dict[str, object]) -> None:
        with self._lock:
            if event["type"] == "progress":
                self._news.progress, self._news.step = event["fraction"], event["step"]
            elif event["type"] == "failure":
                self._news.failure = {"kind": event["kind"], "message": event["message"]}
        if event["type"] == "progress":
            self._log(f"[{event['fraction']:4.0%}] {event['step']}\n")
        elif event["type"] == "log":
            self._log(event["text"].rstrip("\n") + "\n")

    def _read_output(self, pipe: BinaryIO) -> None:
        """Pass on whole lines, so that nothing is cut in the middle of a character or mixed with an event."""
        with pipe:
            while line := pipe.readline(LINE_LIMIT):
                self._log(line.decode(errors="replace"))

    def _log(self, text: str) -> None:
        """Keep the head as it comes, and of all that follows only the last bytes."""
        text = text.replace("\x00", "�")
        with self._lock:
            if self._head < LOG_HEAD_BYTES:
                self._head += len(text.encode())
                self._news.log.append(text)
                return
            self._tail.append(text)
            self._tail_size += len(text)
            while self._tail_size - len(self._tail[0]) > LOG_TAIL_CHARACTERS:
                self._tail_size -= len(self._tail.popleft())

    def _keep_tail(self) -> None:
        with self._lock:
            if self._tail:
                self._news.log += ["\n[... the middle of the log was left out ...]\n", *self._tail]
                self._tail.clear()


def clean_environment(folder: Path, run_name: str, gpus: list[str]) -> dict[str, str]:
    """What a recipe may know of this machine."""
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    return kept | {
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "PYTHONPATH": str(CHECKOUT),
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "CUDA_VISIBLE_DEVICES": ",".join(gpus),
        "SPECTRUM_RUN": run_name,
    }


def strangers(run_name: str) -> list[psutil.Process]:
    """Living processes that carry this run's name in their environment: what a lost guard may have left."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("SPECTRUM_RUN") == run_name and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):
            continue  # it ended, or it belongs to somebody else
    return found


def _resident(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.NoSuchProcess:
        return 0
