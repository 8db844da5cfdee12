"""What a run takes of its machine: memory, processes, threads, disk; and whether memory ran out."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

FILES_COUNTED = 100_000


@dataclass(frozen=True)
class Usage:
    """At one moment."""

    memory_bytes: int = 0
    processes: int = 0
    threads: int = 0
    disk_bytes: int = 0
    files: int = 0


def measure(root: int, folder: Path) -> Usage:
    """Of the process `root` and all below it, and of the files in a folder; nothing if it has ended."""
    try:
        tree = psutil.Process(root)
        taken = [_taken(process) for process in [tree, *tree.children(recursive=True)]]
    except psutil.NoSuchProcess:
        return Usage()
    memory, threads = (sum(column) for column in zip(*taken, strict=True))
    return Usage(memory, len(taken), threads, *_on_disk(folder))


def oom_kills() -> int | None:
    """How often this kernel has killed a process for want of memory; None if it does not count."""
    with suppress(OSError):
        counters = dict(line.split() for line in Path("/proc/vmstat").read_text().splitlines())
        return int(counters["oom_kill"]) if "oom_kill" in counters else None
    return None


def _taken(process: psutil.Process) -> tuple[int, int]:
    """Resident bytes and threads of one process."""
    try:
        with process.oneshot():
            return process.memory_info().rss, process.num_threads()
    except psutil.Error:
        return 0, 0  # it ended while we looked


def _on_disk(folder: Path) -> tuple[int, int]:
    """Bytes and files below a folder, counted until there are far too many."""
    size = files = 0
    for place, folders, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                size += Path(place, name).lstat().st_blocks * 512
        files += len(folders) + len(names)
        if files > FILES_COUNTED:
            break
    return size, files
