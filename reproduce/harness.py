"""Runs one recipe as a child process that can be trusted with nothing, and collects what it says.

The child sees a clean environment (no database, no broker, no secret), runs behind guard.py's fences, and
reports bounded, schema-checked JSON lines through a FIFO. Losing a log line can never fail a run.
"""

import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import psutil

from reproduce.recipes.events import LINE_LIMIT, EventError, decode
from reproduce.usage import Usage, measure, oom_kills

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
# How an operator has several GPUs talk to each other: some hosts need a feature switched off.
KEPT_PREFIXES = ("NCCL_", "NVSHMEM_", "TORCH_SYMM_MEM_")
LOG_HEAD_BYTES, LOG_TAIL_CHARACTERS = 512 * 1024, 64 * 1024
TRACE_WAITING, TRACE_KEPT = 1000, 50_000  # points not yet passed on; points of the whole run
TASKS = 8192  # processes and threads; eight ranks of torch on a large host have some two thousand
LEAST_DATA_BYTES = 2**30  # below that not even torch loads
STOP_LIMIT_S = 10


@dataclass
class News:
    """What the child said since the last look."""

    progress: float | None = None
    step: str | None = None
    log: list[str] = field(default_factory=list)
    trace: list[dict[str, object]] = field(default_factory=list)
    failure: dict[str, str] | None = None
    faults: int = 0


class Child:
    """One attempt of a run: the guard, the recipe below it, and two threads that read what they say."""

    def __init__(
        self,
        command: list[str],
        *,
        folder: Path,
        run_name: str,
        gpus: list[str],
        hidden: Iterable[Path] = (),
        left_open: Iterable[str] = (),
        memory: float = 0,
    ) -> None:
        """Start `command` with --events PATH added. Raises OSError.

        It sees the GPUs with these UUIDs and no `hidden` path; `memory` bounds the bytes of each process,
        and the fences `left_open` are not raised.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder.resolve()
        self._lock = threading.Lock()
        self._news, self._traced = News(), 0
        self._head, self._tail, self._tail_size = 0, deque(), 0
        self._oom_kills = oom_kills()
        events, events_in = make_fifo(self.folder / "events")
        lifeline, self._lifeline = os.pipe()
        data = 0 if gpus else memory  # CUDA reserves more addresses than there is memory
        guard = [sys.executable, str(GUARD), str(lifeline), *guard_options(hidden, left_open, data), "--"]
        try:
            self.process = subprocess.Popen(
                [*guard, *command, "--events", str(self.folder / "events")],
                cwd=folder,
                env=clean_environment(folder, run_name, gpus),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=[lifeline, events_in],  # held by the guard: events end when it and all below have
                start_new_session=True,
            )
        except OSError:
            os.close(events)
            self._close_lifeline()
            raise
        finally:
            os.close(lifeline)
            os.close(events_in)
        self.run_name = run_name
        self.logged = 0  # bytes of its log that are known to be stored
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
            self._news.trace = (news.trace + self._news.trace)[-TRACE_WAITING:]
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

    def usage(self) -> Usage:
        """What the guard, all that runs below it and the run's folder take now."""
        return measure(self.process.pid, self.folder)

    @property
    def starved(self) -> bool | None:
        """Whether the kernel killed for want of memory since the start; None if it does not tell."""
        return None if self._oom_kills is None else oom_kills() != self._oom_kills

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
            elif event["type"] == "trace" and self._traced < TRACE_KEPT:
                self._traced += 1
                self._news.trace.append({key: value for key, value in event.items() if key != "type"})
                del self._news.trace[:-TRACE_WAITING]
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


def make_fifo(path: Path) -> tuple[int, int]:
    """A new FIFO and both its ends. Torchrun's workers inherit no descriptor, but they can open a path."""
    path.unlink(missing_ok=True)
    os.mkfifo(path, 0o600)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # else it would wait for a writer
    writing = os.open(path, os.O_WRONLY)
    os.set_blocking(reading, True)
    return reading, writing


def guard_options(hidden: Iterable[Path], left_open: Iterable[str], memory: float) -> list[str]:
    hide = [part for path in hidden for part in ("--hide", str(path))]
    hide += [part for fence in left_open for part in ("--leave-open", fence)]
    data = ["--memory", str(max(int(memory), LEAST_DATA_BYTES))] if memory else []
    return [*hide, *data, "--tasks", str(TASKS)]


def clean_environment(folder: Path, run_name: str, gpus: list[str]) -> dict[str, str]:
    """What a recipe may know of this machine."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in KEPT_VARIABLES or name.startswith(KEPT_PREFIXES)
    }
    return kept | {
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "PYTHONPATH": str(CHECKOUT),
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONFAULTHANDLER": "1",  # a crash in C leaves a traceback in the log
        "GLOO_SOCKET_IFNAME": "lo",
        "NCCL_SOCKET_IFNAME": "lo",
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
