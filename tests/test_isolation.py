"""What a hostile recipe can do behind the fences, as it saw it itself; and what holds where a kernel refuses."""

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import psutil
import pytest

from reproduce import harness, isolation
from reproduce.harness import strangers
from tests.test_harness import TOY, all_of, start, until, wait_for  # noqa: F401 (start is a fixture)

PARTS = ("network", "processes", "files")
REFUSING = """
import ctypes, os, sys
from pathlib import Path
user, group = os.getuid(), os.getgid()
if ctypes.CDLL(None).unshare(0x10000000) == 0:  # where even that is refused, so is all the rest
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    for kind in %r:
        Path(f"/proc/sys/user/max_{kind}_namespaces").write_text("0")
os.execv(sys.executable, [sys.executable, %r, *sys.argv[1:]])
"""


@cache
def fences():
    """What the guard says of this kernel, once."""
    with tempfile.TemporaryDirectory() as folder:
        child = harness.Child(["true"], folder=Path(folder), run_name="test-fences", gpus=[])
        return "".join(all_of(child).log).strip()


def need(*parts):
    if missing := [part for part in parts if part not in held(fences())]:
        pytest.skip(f"not isolated here: {', '.join(missing)}. {fences()}")


def held(said):
    """The fences that a line of the guard says to hold."""
    found = re.match(r"guard: isolated: ([a-z, ]+)", said)
    return found[1].split(", ") if found else []


@pytest.fixture
def seen(start, tmp_path_factory):  # noqa: F811
    """What the toy saw when it tried everything; and the worker, which must have survived it."""
    var = tmp_path_factory.mktemp("var")
    keys = var.with_name("keys")
    for path in (var / "secret", keys):
        path.write_text("a secret")
    worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    with socket.socket(socket.AF_UNIX) as engine, socket.create_server(("127.0.0.1", 0)) as site:
        engine.bind(str(var / "engine"))
        engine.listen()
        targets = {
            "secret": var / "secret",
            "keys": keys,
            "hidden": var,
            "engine": var / "engine",
            "worker": worker.pid,
        }
        targets |= {"port": site.getsockname()[1], "outside": var.parent / "written-by-a-run"}
        log = "".join(all_of(start("attack", json.dumps(targets, default=str), hidden=[var, keys])).log)
    try:
        yield json.loads(log.splitlines()[1])
        assert worker.poll() is None or "processes" not in held(fences())
    finally:
        worker.kill()
        worker.wait()
        (TOY.parent / "written-by-a-run").unlink(missing_ok=True)


def test_a_recipe_reads_no_secret_and_reaches_no_engine(seen):
    need("files")
    looked_for = ("secret", "hidden", "engine", "keys")
    assert [seen[deed] for deed in looked_for] == ["ENOENT", [], "ENOENT", ""]


def test_a_recipe_reaches_nothing_over_the_network(seen):
    need("network")
    assert (seen["loopback"], seen["abroad"]) == ("ECONNREFUSED", "ENETUNREACH")


def test_a_recipe_sees_and_touches_no_other_process(seen):
    need("processes")
    assert (seen["environ"], seen["signal"], seen["processes"]) == ("ENOENT", "ESRCH", 2)


def test_a_recipe_changes_no_file_but_its_own(seen):
    need("files", "processes")
    outside = ("checkout", "outside", "sysctl", "own folder", "shared memory")
    assert [seen[deed] for deed in outside] == ["EROFS", "EROFS", "EROFS", 1, 1]


def test_a_recipe_sees_no_disk_and_no_terminal(seen):
    need("files")
    harmless = ["fd", "full", "null", "random", "shm", "stderr", "stdin", "stdout", "urandom", "zero"]
    assert seen["devices"] == harmless


def test_a_recipe_has_no_privilege_and_gains_none(seen):
    need("files", "processes")
    if seen["privileges"][0] == f"{2:016x}":
        pytest.skip(
            "root without a user namespace keeps CAP_DAC_OVERRIDE, to read a checkout in a closed home"
        )
    assert (seen["mounting"], seen["namespaces"]) == ("EPERM", "ENOSPC")
    assert seen["privileges"] == ["0" * 16, "1"]


def test_more_memory_than_allowed_is_refused_at_once(start):  # noqa: F811
    assert "MemoryError" in "".join(all_of(start("hoard", memory=2**30)).log)


def test_endless_forking_is_refused_by_the_kernel(start, monkeypatch):  # noqa: F811
    need("processes", "files")
    if os.geteuid() == 0 and tuple(map(int, re.findall(r"\d+", os.uname().release)[:2])) < (6, 14):
        pytest.skip(
            "root is bound by no RLIMIT_NPROC, and before Linux 6.14 process ids are the whole machine's"
        )
    monkeypatch.setattr(harness, "TASKS", 400)
    child = start("breed")
    born = int(re.search(r"stopped after (\d+): EAGAIN", "".join(all_of(child).log))[1])
    assert 50 < born < 400
    assert strangers(child.run_name) == []


def test_killing_the_guard_ends_the_whole_run(start):  # noqa: F811
    need("processes")
    child = start("fork")
    until("hello", child)
    child.process.kill()
    wait_for(lambda: not strangers(child.run_name))


def test_programs_below_a_hidden_folder_stay_readable(start, tmp_path):  # noqa: F811
    need("files")
    news = all_of(start("behave", hidden=[harness.CHECKOUT.parent, Path(sys.prefix).parent, tmp_path.parent]))
    assert (news.progress, news.step) == (0.5, "half way")


@pytest.fixture
def refusing(monkeypatch, tmp_path_factory):
    """A kernel that refuses some kinds of namespaces."""

    def refuse(*kinds):
        wrapper = tmp_path_factory.mktemp("refusing") / "guard.py"
        wrapper.write_text(REFUSING % (kinds, str(harness.GUARD)))
        monkeypatch.setattr(harness, "GUARD", wrapper)

    return refuse


@pytest.mark.parametrize(
    ("refused", "missing"),
    [
        (["user"], []),
        (["user", "net"], ["network"]),
        (["user", "pid"], ["processes"]),
        (["user", "mnt"], ["processes", "files"]),
        (["user", "net", "pid", "mnt"], ["network", "processes", "files"]),
    ],
)
def test_what_a_kernel_refuses_is_said_and_the_run_goes_on(start, refusing, refused, missing):  # noqa: F811
    need(*PARTS)
    refusing(*refused)
    news = all_of(start("behave"))
    said = "".join(news.log).splitlines()[0]
    assert held(said) == [part for part in PARTS if part not in missing]
    assert [part for part in PARTS if f"{part} (" in said] == missing
    assert (news.progress, news.step, news.faults) == (0.5, "half way", 0)


def test_without_any_namespace_nothing_of_a_run_survives_either(start, refusing):  # noqa: F811
    refusing("user", "net", "pid", "mnt")
    child = start("fork")
    until("hello", child)
    wait_for(lambda: len(psutil.Process(child.process.pid).children(recursive=True)) == 4)
    assert child.stop()
    left = start("leave")
    all_of(left)
    assert (left.process.returncode, strangers(left.run_name)) == (0, [])


def test_a_recipe_may_name_its_threads_as_cuda_does_and_turn_none_of_the_machines_knobs(seen):
    need("files", "processes")
    assert (seen["thread name"], seen["knobs"]) == (4, [])


def test_a_fence_that_a_worker_leaves_open_is_named_and_the_others_hold(start):  # noqa: F811
    need(*PARTS)
    said = "".join(all_of(start("behave", left_open=["files"])).log).splitlines()[0]
    assert said == f"guard: isolated: network, processes; not isolated: files ({isolation.LEFT_OPEN})"
    said = "".join(all_of(start("behave", left_open=PARTS)).log).splitlines()[0]
    assert said == "guard: not isolated: " + ", ".join(f"{part} ({isolation.LEFT_OPEN})" for part in PARTS)
