"""Which of the fences around a run CUDA can live behind on this host: a worker tries before its first run.

Drivers differ in what they must write and see to start, and a fence that keeps a GPU from every run helps
nobody; one that is left open is named on the page of the workers and in each run's log.
"""

import logging
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from django.conf import settings

from reproduce.harness import Child

START = "import ctypes, sys; sys.exit(ctypes.CDLL('libcuda.so.1').cuInit(0) != 0)"
LEFT_OPEN = ((), ("files",), ("files", "processes"), ("files", "processes", "network"))
LIMIT_S = 60

logger = logging.getLogger(__name__)


def fences_to_leave_open(gpus: Sequence[str]) -> tuple[str, ...]:
    """The fewest fences without which CUDA starts on these GPUs; none if it starts behind no choice."""
    for left_open in LEFT_OPEN:
        if starts(gpus, left_open):
            if left_open:
                logger.warning("CUDA does not start behind the fences %s: left open", ", ".join(left_open))
            return left_open
    logger.error("CUDA does not start in a child process here, whatever fences are left open")
    return ()


def starts(gpus: Sequence[str], left_open: Sequence[str]) -> bool:
    """Whether a child like those of runs can start CUDA."""
    settings.RUN_DIR.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.RUN_DIR, prefix="cuda") as folder:
        fences = {"hidden": settings.HIDDEN_FROM_RUNS, "left_open": left_open}
        name = f"{settings.SITE_NAME}-{Path(folder).name}"
        child = Child(
            [sys.executable, "-c", START], folder=Path(folder), run_name=name, gpus=list(gpus), **fences
        )
        ended = child.wait(LIMIT_S)
        child.stop()
        return ended and child.process.returncode == 0
