"""How an attempt ends: each class of failure, cancel, time limit, a stopping worker. The children are toys."""

import json
import shutil
import sys
import threading

import pytest
from django.db import OperationalError

from config import embedded
from reproduce import execution, failures, journal, lifecycle
from reproduce.harness import strangers
from reproduce.recipes import bundle, spec
from reproduce.slots import Slot
from reproduce.usage import oom_kills
from tests.making_runs import make_run, make_worker
from tests.test_evidence import report
from tests.test_harness import TOY
from tests.test_isolation import need

pytestmark = pytest.mark.django_db(transaction=True)  # a worker closes stale connections


@pytest.fixture
def execute(monkeypatch, settings, tmp_path):
    """Claim a run and execute the toy in its place; the run afterwards."""
    settings.RUN_DIR = tmp_path

    def execute(mode, *arguments, before=lambda run: None, stopping=False, **over):
        toy = [sys.executable, str(TOY), mode, *map(str, arguments)]
        monkeypatch.setattr(execution, "command", lambda run, folder: toy)
        make_run(**over)
        run, lease = lifecycle.claim(make_worker(), "cpu", 1)
        before(run)
        event = threading.Event()
        if stopping:
            event.set()
        execution.execute(run, lease, worker="w", gpus=[], stopping=event)
        run.refresh_from_db()
        assert strangers(f"{settings.SITE_NAME}-{run.pk}-1") == []
        assert list(tmp_path.iterdir()) == []
        return run

    return execute


def ended(run):
    return run.status, run.failure, run.message


def test_a_crash_is_the_recipes_failure_and_its_log_is_kept(execute):
    run = execute("crash")
    assert ended(run) == ("failed", "recipe_error", "The recipe ended with exit status 1; the log says more.")
    assert "RuntimeError: the toy broke" in journal.log_after(run)[0]


def test_what_the_recipe_says_of_its_failure_is_the_message(execute):
    assert ended(execute("confess")) == ("failed", "out_of_memory", "The toy's memory did not suffice.")


def test_a_child_that_ends_well_without_a_report_is_a_bad_report(execute):
    run = execute("behave")
    assert (run.status, run.failure) == ("failed", "bad_report")
    assert run.message.startswith(
        "The recipe ended well, but its report cannot be used: The bundle cannot be"
    )


def test_a_run_past_its_time_limit_is_stopped(execute):
    run = execute("sleep", time_limit=1)
    assert ended(run) == ("failed", "timeout", "It was stopped after its limit of 1 s.")


def test_a_run_past_its_memory_limit_is_stopped(execute, settings):
    settings.RUN_MEMORY_GB = 0.005
    run = execute("sleep")
    assert (run.status, run.failure) == ("failed", "out_of_memory")


def test_a_run_with_too_many_processes_is_stopped(execute, monkeypatch):
    monkeypatch.setattr(failures, "PROCESSES", 8)
    said = "It was stopped because it had more than 8 processes."
    assert ended(execute("crowd")) == ("failed", "recipe_error", said)


def test_a_run_that_fills_the_disk_is_stopped(execute, monkeypatch):
    monkeypatch.setattr(failures, "DISK_BYTES", 1_000_000)
    said = "It was stopped because it had more than 0.001 GB in its folder."
    assert ended(execute("fill")) == ("failed", "recipe_error", said)


@pytest.mark.parametrize(("mode", "name"), [("segfault", "SIGSEGV"), ("abort", "SIGABRT")])
def test_a_crash_names_its_signal_and_leaves_a_traceback(execute, mode, name):
    run = execute(mode)
    said = f"The recipe crashed with {name}; the log may say more."
    assert ended(run) == ("failed", "recipe_error", said)
    assert f"in {mode}" in journal.log_after(run)[0]


def test_a_sigkill_that_the_kernel_did_not_send_is_not_taken_for_a_want_of_memory(execute):
    if oom_kills() is None:
        pytest.skip("this kernel does not count its OOM kills")
    assert ended(execute("die")) == ("failed", "platform", failures.KILLED_BY_HAND)


def test_who_sent_sigkill_is_said_as_far_as_it_is_known():
    assert failures.killed(True) == failures.Failure("out_of_memory", failures.STARVED)
    assert failures.killed(None) == failures.Failure("out_of_memory", failures.KILLED_PERHAPS)


def test_a_run_sees_neither_the_sites_keys_and_data_nor_its_engines(execute, settings, tmp_path):
    need("files")
    sockets = embedded.socket_dir(settings.VAR)
    assert (settings.VAR / "secret-key").exists()
    assert (sockets / ".s.PGSQL.5432").exists()
    log = journal.log_after(execute("steal", settings.VAR, sockets))[0]
    assert json.loads(log.splitlines()[1]) == [[tmp_path.relative_to(settings.VAR).parts[0]], []]


def test_a_report_that_links_to_another_file_is_neither_read_nor_kept(execute, settings):
    run = execute("point", settings.VAR / "secret-key")
    assert (run.status, run.failure, run.bundle) == ("failed", "bad_report", None)
    assert run.message.endswith("its report cannot be used: It is no ordinary file.")


def full_disk(monkeypatch):
    usage = shutil.disk_usage("/")._replace(free=bundle.SIZE_LIMIT - 1)
    monkeypatch.setattr(execution.shutil, "disk_usage", lambda folder: usage)


def test_a_run_that_met_a_full_disk_is_the_platforms_failure(execute, monkeypatch):
    run = execute("crash", before=lambda run: full_disk(monkeypatch))
    assert ended(run) == ("failed", "platform", failures.DISK_FULL)


def test_a_slot_takes_no_run_while_the_disk_is_full(settings, tmp_path, monkeypatch):
    settings.RUN_DIR = tmp_path
    slot, run = Slot(0), make_run()
    full_disk(monkeypatch)
    slot._worker = make_worker()
    assert slot._take_one() is False
    run.refresh_from_db()
    assert (run.status, slot.state, slot.why) == ("queued", "blocked", "its disk has only 15 MB left")


def test_a_cancelled_run_ends_with_every_process_gone(execute):
    run = execute("fork", before=lambda run: lifecycle.request_cancel(run, who="ben"))
    assert ended(run) == ("cancelled", "", "Cancelled; every process of it is gone.")


def test_a_stopping_worker_hands_its_run_back(execute):
    run = execute("sleep", stopping=True)
    assert (run.status, run.attempt, run.lost) == ("queued", 1, 0)


def test_a_worker_that_was_fenced_off_ends_its_child_and_writes_nothing(execute):
    def lose(run):
        type(run).objects.filter(pk=run.pk).update(lease_token="00000000-0000-0000-0000-000000000000")

    run = execute("sleep", before=lose)
    assert (run.status, run.message) == ("running", "")


def test_a_worker_that_breaks_fails_the_run_as_the_platforms_fault(execute, monkeypatch):
    monkeypatch.setattr(execution, "supervise", lambda *_: 1 / 0)
    assert ended(execute("sleep")) == ("failed", "platform", execution.PLATFORM)


def test_a_restarting_database_is_waited_for(monkeypatch):
    tries = []

    def write():
        tries.append(1)
        if len(tries) < 3:
            raise OperationalError("restarting")

    monkeypatch.setattr(execution.time, "sleep", lambda seconds: None)
    execution.patiently(write)
    assert len(tries) == 3


def test_a_killed_guard_is_the_platforms_fault(execute, monkeypatch):
    started = execution.Child

    def start(*given, **options):
        child = started(*given, **options)
        child.process.kill()
        return child

    monkeypatch.setattr(execution, "Child", start)
    assert ended(execute("sleep")) == ("failed", "platform", execution.PLATFORM)


def test_only_what_was_measured_with_the_recipe_that_was_asked_for_counts(tmp_path):
    path = tmp_path / "bundle.json"
    written = bundle.write(path, report("smoke", "cpu"), {})
    asked = make_run(recipe_digest=written["recipe"]["digest"])
    assert execution.read_report(asked, path)["metrics"] == written["metrics"]
    with pytest.raises(bundle.BundleError, match="changed after this was asked for"):
        execution.read_report(make_run(recipe_digest="0" * 64), path)


def test_a_recipe_that_broke_while_it_ran_is_named(execute, monkeypatch):
    def broken(slug):
        raise spec.RecipeError("recipe.toml: title is missing")

    monkeypatch.setattr(execution.spec, "load", broken)
    monkeypatch.setattr(execution.bundle, "read", lambda path: report("smoke", "cpu"))
    run = execute("behave")
    assert (run.status, run.failure) == ("failed", "bad_report")
    assert run.message.endswith("its report cannot be used: recipe.toml: title is missing")


def test_what_a_killed_worker_left_in_its_folder_is_cleared(settings, tmp_path):
    settings.RUN_DIR = tmp_path
    waiting, _ = make_run(attempt=1), make_run()
    run, _ = lifecycle.claim(make_worker(), "cpu", 1)
    for name in (f"{waiting.pk}-{waiting.attempt}", f"{run.pk}-{run.attempt}", "0-1"):
        (tmp_path / name / "cache").mkdir(parents=True)
    execution.clear_leftovers()
    assert [folder.name for folder in tmp_path.iterdir()] == [f"{run.pk}-{run.attempt}"]
