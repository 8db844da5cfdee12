"""What toys really did, told apart from the database: a page for each attempt, marked by the toy itself.

A page is one file with two names: in the run's folder, all that an isolated toy can write to, and in the ledger.
So it outlives the folder, the guard, the worker and the database, and needs no part of the pool to tell the truth.
"""

import os
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

LEDGER, PAGE = ".ledger", "page"


@dataclass(frozen=True)
class Mark:
    """One thing that a process of an attempt did: "begin", "alive" or "end"; `at` by the machine's clock."""

    what: str
    pid: int
    at: float


def open_page(folder):
    """Give the attempt whose folder this is a page. Raises OSError when the disk is full."""
    folder.mkdir(parents=True, exist_ok=True)
    ledger = folder.parent / LEDGER
    ledger.mkdir(exist_ok=True)
    page = ledger / folder.name
    page.write_text("attempt\n")  # its first block is taken here, so that no later mark lacks room
    page.chmod(0o666)
    os.link(page, folder / PAGE)


def mark(folder, what):
    """One write, appended whole."""
    page = os.open(folder / PAGE, os.O_WRONLY | os.O_APPEND)
    os.write(page, f"{what} {os.getpid()} {time.time():.3f}\n".encode())
    os.close(page)


def read(run_dir):
    """All marks, in order, by run and attempt: {run: {attempt: [Mark]}}."""
    pages = defaultdict(dict)
    for page in sorted((Path(run_dir) / LEDGER).glob("*-*")):
        run, attempt = map(int, page.name.split("-"))
        pages[run][attempt] = [_mark(line) for line in page.read_text().splitlines()[1:]]
    return dict(pages)


def _mark(line):
    what, pid, at = line.split()
    return Mark(what, int(pid), float(at))
