"""`make up` on copies of this tree, as a new user has it: deep paths, kill -9, taken ports, neighbours, users."""

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from config import embedded
from config.account import account, identity
from config.up import make_children
from tests.live import Stack, free_port, wait_until

ROOT = Path(__file__).resolve().parent.parent
DEEP = "a checkout with spaces/" + "deep/" * 20 + "Spectrum"
NOT_COPIED = shutil.ignore_patterns(".git", ".venv", "var", "__pycache__", ".pytest_cache", ".ruff_cache")


def copy_of_the_tree(folder):
    """A checkout of its own in `folder`, with this run's installed packages."""
    shutil.copytree(ROOT, folder, ignore=NOT_COPIED)
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


@pytest.fixture(scope="module")
def deep_stack(tmp_path_factory):
    """A stack in a path far deeper than a socket's may be; each test starts and ends it in its own way."""
    checkout = copy_of_the_tree(tmp_path_factory.mktemp("up") / DEEP)
    stack = Stack(checkout, checkout / "var", free_port())
    yield stack
    if stack.processes():
        stack.kill_everything()
    embedded.stop(stack.var)


def test_nothing_is_lost_when_everything_is_killed(deep_stack):
    deep_stack.start(["make", "up", "EXTRAS=worker,dev"])
    assert deep_stack.get()[0] == 200
    papers = deep_stack.sql("SELECT count(*) FROM papers_paper")
    deep_stack.sql("INSERT INTO auth_group (name) VALUES ('written before the kill')")

    deep_stack.kill_everything()
    deep_stack.start(["make", "up", "EXTRAS=worker,dev"])

    assert deep_stack.get()[0] == 200
    assert deep_stack.sql("SELECT name FROM auth_group WHERE starts_with(name, 'written')") == [
        ("written before the kill",)
    ]
    assert deep_stack.sql("SELECT count(*) FROM papers_paper") == papers
    deep_stack.stop()


def test_ctrl_c_leaves_no_process_and_the_password_is_private(deep_stack):
    deep_stack.start()
    assert stat.S_IMODE((deep_stack.var / "admin-password").stat().st_mode) == 0o600
    assert len(deep_stack.processes()) > 6
    assert deep_stack.stop(signal.SIGINT) == 0
    assert deep_stack.processes() == []
    assert not embedded.socket_dir(deep_stack.var).exists()


def test_the_next_start_ends_what_a_killed_supervisor_left(deep_stack):
    deep_stack.start()
    orphans = deep_stack.processes()
    deep_stack.process.kill()
    deep_stack.process.wait()
    deep_stack.start()
    assert "that a killed `make up` had left" in deep_stack.said()
    servers = {
        process.pid for engine in embedded.ENGINES for process in embedded.processes(deep_stack.var, engine)
    }
    assert {process.pid for process in orphans if process.is_running()} <= servers
    assert deep_stack.stop(signal.SIGTERM) == 0


def test_what_dies_is_started_again_and_said_so(deep_stack):
    deep_stack.start()
    web = next(process for process in deep_stack.processes() if "granian" in process.cmdline())
    web.kill()
    embedded.processes(deep_stack.var, "valkey")[0].kill()
    wait_until(lambda: "web ended with status -9 and was started again" in deep_stack.said())
    wait_until(lambda: "valkey had ended and runs again" in deep_stack.said())
    wait_until(lambda: answers(deep_stack))
    assert embedded.running(deep_stack.var) == {"postgres", "valkey"}

    second = deep_stack.run(
        subprocess.run, [sys.executable, "-m", "config.up"], capture_output=True, text=True
    )
    assert second.returncode == 1
    assert (
        f"already runs here: http://localhost:{deep_stack.port} (pid {deep_stack.process.pid})"
        in second.stderr
    )

    deep_stack.run(subprocess.run, ["make", "down"], check=True)
    assert deep_stack.process.wait(10) == 0
    assert deep_stack.processes() == []


def answers(stack):
    try:
        return stack.get()[0] == 200
    except OSError:
        return False


def test_an_ordinary_users_checkout_runs_beside_another_one(stack, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ordinary")
    other = Stack(
        copy_of_the_tree(folder / "Spectrum"), folder / "Spectrum" / "var", free_port(), HOME=str(folder)
    )
    if os.geteuid() == 0:
        programs = [Path(sys.executable).resolve(), Path(sys.prefix) / "bin"]
        other.identity = identity(folder / "Spectrum", programs)
        for path in [folder, *folder.rglob("*")]:
            os.chown(path, account().pw_uid, account().pw_gid, follow_symlinks=False)
    other.start()
    assert {process.uids().real for process in other.processes()} == {account().pw_uid}
    assert (stack.get()[0], other.get()[0]) == (200, 200)
    assert other.stop() == 0
    assert stack.get()[0] == 200


def test_a_taken_port_is_said_at_once_before_anything_is_made(tmp_path):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        taken = Stack(ROOT, tmp_path / "var", port)
        tried = taken.run(subprocess.run, [sys.executable, "-m", "config.up"], capture_output=True, text=True)
    assert tried.returncode == 1
    assert tried.stderr == (
        f"Cannot listen on 127.0.0.1 port {port}: Address already in use. Choose another: make up PORT={port + 1}\n"
    )
    assert not (tmp_path / "var" / "postgres").exists()


def test_a_var_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").touch()
    lost = Stack(ROOT, tmp_path / "file" / "var", free_port())
    tried = lost.run(subprocess.run, [sys.executable, "-m", "config.up"], capture_output=True, text=True)
    assert (tried.returncode, tried.stderr) == (
        1,
        f"{lost.var} cannot be made a folder (Not a directory): set SPECTRUM_VAR to another.\n",
    )


@pytest.mark.parametrize("port", ["0", "65536", "http", "-1"])
def test_a_port_that_is_none_is_said_at_once(port):
    command = [sys.executable, "config/preflight.py", "port"]
    tried = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PORT": port}, capture_output=True, text=True
    )
    assert (tried.returncode, tried.stderr) == (
        1,
        f"PORT={port} is not a port: choose a number from 1 to 65535.\n",
    )


def test_no_worker_is_started_when_none_is_wanted(tmp_path, monkeypatch):
    monkeypatch.setenv("SPECTRUM_WORKER", "0")
    assert [child.name for child in make_children(tmp_path, "127.0.0.1", "8000")] == ["web", "beat"]


def test_an_address_in_the_environment_replaces_an_embedded_server(stack, tmp_path):
    """A second stack on the first one's servers, as production has it."""
    addresses = {
        "DATABASE_URL": embedded.database_url(stack.var),
        "BROKER_URL": embedded.broker_url(stack.var),
        "SECRET_KEY": "x" * 50,
    }
    other = Stack(ROOT, tmp_path / "var", free_port(), **addresses).start()
    assert other.get()[0] == 200
    assert embedded.running(other.var) == set()
    assert other.stop() == 0
    assert psutil.pid_exists(stack.process.pid)
    assert stack.get()[0] == 200
