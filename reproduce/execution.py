"""One attempt of a run, from its lease to its end: the harness on one side, the lifecycle on the other.

Only this module decides how an attempt ended; lifecycle.py decides whether that still counts.
"""

import json
import logging
import shutil
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from django.conf import settings
from django.db import InterfaceError, OperationalError, close_old_connections, transaction

from reproduce import lifecycle
from reproduce.bundles import columns, misfit, pack
from reproduce.evidence import store_measurements
from reproduce.failures import DISK_FULL, PLATFORM, Failure, excess, failure_of, memory_limit
from reproduce.gpus import GpuMemory
from reproduce.harness import Child
from reproduce.lifecycle import CANCEL, FENCED_OFF, GO_ON, Lease
from reproduce.models import Run
from reproduce.recipes import bundle, spec

HEARTBEAT_S, FIRST_S = 1, 0.1
GPU_MEMORY_BACK_S = 4  # with the ending of the child, within the five seconds that a cancel may take
# A database that restarts is waited for, but never past the lease: by then the run may be somebody else's.
PATIENCE_S = max(1, lifecycle.LEASE.seconds - 5)

logger = logging.getLogger(__name__)


def execute(
    run: Run,
    lease: Lease,
    *,
    worker: str,
    gpus: list[str],
    stopping: threading.Event,
    left_open: Sequence[str] = (),
) -> None:
    """Run it, and write how it ended. Once `stopping` is set it may end soon, else it is handed back."""
    name = f"{settings.SITE_NAME}-{run.pk}-{run.attempt}"
    folder = settings.RUN_DIR / f"{run.pk}-{run.attempt}"
    memory = GpuMemory(gpus)
    try:
        child = Child(
            command(run, folder),
            folder=folder,
            run_name=name,
            gpus=gpus,
            hidden=settings.HIDDEN_FROM_RUNS,
            left_open=left_open,
            memory=memory_limit(),
        )
    except OSError as error:
        logger.exception("run %s could not be started", run.pk)
        lifecycle.fail(lease, "platform", f"The worker could not start it: {error.strerror}.", who=worker)
        return
    try:
        ending = supervise(child, run, lease, stopping)
        trace = clear_away(child, ending, memory)
        patiently(lambda: settle(child, run, lease, worker, folder, ending, trace))
    except Exception:
        logger.exception("run %s: the worker failed it", run.pk)
        child.stop()
        patiently(lambda: lifecycle.fail(lease, "platform", PLATFORM, who=worker))
    finally:
        child.stop()
        shutil.rmtree(folder, ignore_errors=True)


def clear_leftovers() -> None:
    """Remove the folders of attempts that nobody holds any more: a worker that was killed left them."""
    folders = list(settings.RUN_DIR.glob("*-*"))  # before the query: what is claimed later is not among them
    running = Run.objects.filter(status="running").values_list("pk", "attempt")
    held = {f"{pk}-{attempt}" for pk, attempt in running} if folders else set()
    for folder in folders:
        if folder.name not in held:
            shutil.rmtree(folder, ignore_errors=True)


def disk_fault() -> str:
    """Why no run may begin here, as a phrase; empty when a report of any size has room."""
    settings.RUN_DIR.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(settings.RUN_DIR).free
    return f"its disk has only {free // 2**20} MB left" if free < bundle.SIZE_LIMIT else ""


def command(run: Run, folder: Path) -> list[str]:
    """The command line of a run: what its worker executes."""
    asked = ["--preset", run.preset, "--params", json.dumps(run.parameters)]
    where = ["--device", run.device, "--out", str(folder)]
    return [sys.executable, "-m", "reproduce.recipes", "run", run.recipe, *asked, *where]


def typed(run: Run) -> str:
    """The same as a line that anyone may type to run it again on a machine of their own."""
    return bundle.command_line(run.recipe, run.preset, run.parameters)


def supervise(child: Child, run: Run, lease: Lease, stopping: threading.Event) -> str | Failure:
    """Heartbeat until the child ends or must: "ended", "cancel", "fenced off", "stopping" or a Failure."""
    silent_since = give_up = None
    while True:
        ended = child.wait(min(HEARTBEAT_S, max(FIRST_S, child.seconds / 2)))  # the first news come at once
        answer, silent_since = report(child, lease, silent_since)
        if answer != GO_ON:
            return answer
        if ended:
            return "ended"
        if stopping.is_set():
            give_up = give_up or child.seconds + settings.STOP_GRACE_S
            if child.seconds >= give_up:
                return "stopping"
        if broken := excess(child, run.time_limit):
            return broken


def report(child: Child, lease: Lease, silent_since: float | None) -> tuple[str, float | None]:
    """One heartbeat. While the database is away, keep what was said and go on until the lease nearly ends."""
    news = child.news()
    said = {"log": "".join(news.log), "log_at": child.logged, "trace": news.trace}
    try:
        close_old_connections()
        answer = lifecycle.heartbeat(lease, progress=news.progress, step=news.step, **said)
    except (OperationalError, InterfaceError):
        child.unread(news)
        silent_since = silent_since or child.seconds
        logger.warning("run %s: no heartbeat, the database does not answer", lease.run_id)
        return (FENCED_OFF if child.seconds - silent_since > PATIENCE_S else GO_ON), silent_since
    child.logged += len(said["log"].encode())
    return answer, None


def patiently(write: Callable[[], object]) -> None:
    """Write, and again while the database restarts. The lease decides whether a late write still counts."""
    for seconds_left in reversed(range(PATIENCE_S)):
        try:
            close_old_connections()
            write()
            return
        except (OperationalError, InterfaceError):
            if not seconds_left:
                raise
            time.sleep(1)


def clear_away(child: Child, ending: str | Failure, memory: GpuMemory) -> str:
    """See every process of the run gone and the memory of its GPUs back; a clause that says how it went."""
    gone = ending == "ended" or child.stop()
    kept = memory.still_taken(GPU_MEMORY_BACK_S)
    if not gone:
        return "but a process of it could not be ended: tell the operators"
    if kept:
        return f"but {' and '.join(kept)} did not come back: its slot takes no run until it does"
    return "every process of it is gone" + (", and its GPU memory is back" if memory.uuids else "")


def settle(
    child: Child, run: Run, lease: Lease, worker: str, folder: Path, ending: str | Failure, trace: str
) -> None:
    """Nothing of it runs any more: write its end."""
    used = {"gpu_seconds": child.seconds * run.gpus if run.device == "cuda" else 0}
    if ending == FENCED_OFF:
        logger.warning("run %s attempt %s was fenced off; its child was ended", run.pk, run.attempt)
    elif ending == CANCEL:
        lifecycle.confirm_cancel(lease, who=worker, why=f"Cancelled; {trace}.", **used)
    elif ending == "stopping":
        lifecycle.hand_back(lease, who=worker, why=f"{worker} is stopping; waiting for another worker")
    elif isinstance(ending, Failure):
        lifecycle.fail(lease, ending.kind, ending.message, who=worker, **used)
    else:
        conclude(child, run, lease, worker, folder, used)


def conclude(child: Child, run: Run, lease: Lease, worker: str, folder: Path, used: dict[str, float]) -> None:
    """The child ended by itself: read its bundle and store what it measured, or say how it failed."""
    failure = failure_of(child)
    path = folder / "bundle.json"
    if failure is None:
        try:
            report = read_report(run, path)
        except (bundle.BundleError, spec.RecipeError) as error:
            failure = Failure("bad_report", f"The recipe ended well, but its report cannot be used: {error}")
    if failure is not None and disk_fault():
        failure = Failure("platform", DISK_FULL)
    if failure is not None:
        readable = is_own_file(path) and path.stat().st_size <= bundle.SIZE_LIMIT
        kept = pack(path.read_bytes()) if readable else {}
        lifecycle.fail(lease, failure.kind, failure.message, who=worker, **used, **kept)
        return
    with transaction.atomic():
        stored = columns(report) | pack(path.read_bytes())
        if lifecycle.finish(lease, who=worker, why=f"finished on {worker}", **stored):
            run.refresh_from_db(fields=["paper"])  # which a moderator may have merged while it ran
            store_measurements(run, report)
            run.trace_chunks.all().delete()  # the bundle holds every point


def read_report(run: Run, path: Path) -> dict[str, object]:
    """The bundle, checked against what was asked for. Raises bundle.BundleError or spec.RecipeError."""
    if path.exists() and not is_own_file(path):
        raise bundle.BundleError("It is no ordinary file.")
    report = bundle.read(path)
    recipe = spec.load(run.recipe)
    if (report["recipe"]["slug"], report["preset"]) != (run.recipe, run.preset):
        raise bundle.BundleError("it is about another recipe or preset.")
    if report["recipe"]["digest"] != run.recipe_digest:
        raise bundle.BundleError(
            "the recipe was changed after this was asked for; restart site and workers, then ask again."
        )
    if told := misfit(report, recipe):
        raise bundle.BundleError(f"{told}.")
    return report


def is_own_file(path: Path) -> bool:
    """Whether the recipe wrote it: through a link it would have us read what is hidden from it."""
    return path.is_file() and not path.is_symlink()
