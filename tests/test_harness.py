"""The harness against children that crash, fork, babble, shout and outlive their welcome."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from reproduce.harness import LOG_HEAD_BYTES, LOG_TAIL_CHARACTERS, TRACE_WAITING, Child, strangers

TOY = Path(__file__).parent / "data" / "toy.py"


@pytest.fixture
def start(tmp_path):
    """Start the toy in a mode; whatever a test leaves behind is ended."""
    children = []

    def start(*arguments, **options):
        name = f"test-{os.getpid()}-{len(children)}"
        command = [sys.executable, str(TOY), *arguments]
        children.append(Child(command, folder=tmp_path, run_name=name, gpus=[], **options))
        return children[-1]

    yield start
    for child in children:
        child.stop()


def until(said, child):
    """Wait until the child's log holds the words; its whole log so far."""
    log = ""
    for _ in range(200):
        ended = child.wait(0.1)
        log += "".join(child.news().log)
        if said in log or ended:
            return log
    raise AssertionError(f"the child never said {said!r}: {log!r}")


def all_of(child):
    while not child.wait(1):
        pass
    return child.news()


def test_a_good_child_is_heard(start):
    news = all_of(start("behave"))
    assert (news.progress, news.step, news.faults, news.failure) == (0.5, "half way", 0, None)
    lines = "".join(news.log).splitlines()
    assert sorted(lines[1:]) == ["[ 50%] half way", "hello from the toy"]


def test_a_crash_leaves_its_traceback_and_exit_status(start):
    child = start("crash")
    assert "RuntimeError: the toy broke" in "".join(all_of(child).log)
    assert child.process.returncode == 1


def test_a_child_that_says_how_it_failed_is_believed(start):
    child = start("confess")
    assert all_of(child).failure == {"kind": "out_of_memory", "message": "The toy's memory did not suffice."}
    assert child.process.returncode == 1


def test_lines_that_break_the_contract_are_counted_and_never_fatal(start):
    child = start("babble")
    news = all_of(child)
    assert (child.process.returncode, news.progress, news.step) == (0, 0.5, "half way")
    assert news.faults >= 5


def test_a_child_that_deletes_the_fifo_harms_only_itself(start):
    child = start("unplug")
    news = all_of(child)
    assert (child.process.returncode, news.progress, news.step) == (0, 0.2, "unplugging")
    assert "still here" in "".join(news.log)


def test_the_latest_points_of_the_trace_wait_to_be_fetched(start):
    child = start("trace")
    news = all_of(child)
    assert [point["t"] for point in news.trace] == list(range(1500 - TRACE_WAITING, 1500))
    assert news.trace[0] == {
        "t": 500, "gpu": 0, "memory_mb": None, "utilisation": None,
        "power_w": None, "temperature_c": None, "sm_clock_mhz": None,
    }  # fmt: skip
    child.unread(news)
    assert child.news().trace == news.trace


def test_a_long_log_keeps_its_head_and_its_tail(start):
    news = all_of(start("shout"))
    text = "".join(news.log)
    assert text.splitlines()[1] == f"{0:099d}"
    assert text.splitlines()[-1] == f"{19_999:099d}"
    assert "[... the middle of the log was left out ...]" in text
    assert len(text) < LOG_HEAD_BYTES + LOG_TAIL_CHARACTERS + 2 * 16 * 1024 + 100


def test_stop_ends_grandchildren_in_sessions_of_their_own(start):
    child = start("fork")
    until("hello", child)
    guard = psutil.Process(child.process.pid)
    wait_for(lambda: len(guard.children(recursive=True)) == 4)  # init, the toy and two generations
    family = guard.children(recursive=True)
    assert child.stop()
    assert [process for process in family if process.is_running()] == []
    assert strangers(child.run_name) == []


def test_a_child_that_ignores_sigterm_is_ended(start):
    child = start("stubborn")
    until("hello", child)
    assert child.stop()


def test_a_daemon_left_behind_is_ended_with_the_run(start):
    child = start("leave")
    all_of(child)
    assert (child.process.returncode, strangers(child.run_name)) == (0, [])


def test_killing_the_guard_takes_the_child_along_and_stop_finds_the_rest(start):
    child = start("fork")
    until("hello", child)
    child.process.kill()
    assert child.stop()
    assert strangers(child.run_name) == []


def test_when_the_harness_is_killed_nothing_of_the_run_survives(tmp_path):
    name = f"test-orphan-{os.getpid()}"
    source = (
        "import sys, time; from pathlib import Path; from reproduce.harness import Child\n"
        f"Child([sys.executable, {str(TOY)!r}, 'fork'], folder=Path({str(tmp_path)!r}), run_name={name!r}, gpus=[])\n"
        "print('started', flush=True); time.sleep(600)"
    )
    harness = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, cwd=TOY.parents[2])
    assert harness.stdout.readline() == b"started\n"
    wait_for(lambda: len(strangers(name)) >= 4)
    harness.kill()
    harness.wait()
    harness.stdout.close()
    wait_for(lambda: not strangers(name))


def wait_for(happened, seconds=20):
    for _ in range(seconds * 20):
        if happened():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen")


def test_the_child_sees_no_secret(start, monkeypatch):
    for name in ("DATABASE_URL", "BROKER_URL", "SECRET_KEY", "DJANGO_SETTINGS_MODULE"):
        monkeypatch.setenv(name, "a secret")
    monkeypatch.setenv("NCCL_NVLS_ENABLE", "0")
    log = "".join(all_of(start("look")).log)
    seen = json.loads(log.splitlines()[1])
    assert "a secret" not in seen.values()
    assert seen["NCCL_NVLS_ENABLE"] == "0"
    assert seen["CUDA_VISIBLE_DEVICES"] == ""
