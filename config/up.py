"""The supervisor behind `make up`: engines, database, then web, worker and beat, until Ctrl-C stops it all.

`python -m config.up` runs it in the foreground; `python -m config.up down` stops the one of this var folder.
"""

import fcntl
import http.client
import os
import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from config import embedded
from config.children import LONGEST_PAUSE_S, Child, bound_logs, kill_group, last_lines, launch, stop_leftovers
from config.preflight import port_fault

ROOT = Path(__file__).resolve().parent.parent
VAR = Path(os.environ.get("SPECTRUM_VAR") or ROOT / "var").resolve()
ADDRESSES = {"postgres": "DATABASE_URL", "valkey": "BROKER_URL"}
FIRST_ANSWER_S = 60
DOWN_LIMIT_S = 120


class UpError(Exception):
    """Spectrum cannot start; the message says why and what to do."""


class Signals:
    """The first signal asks to stop, by an exception wherever the supervisor is; the next one says hurry."""

    stopping = hurried = False

    class Asked(Exception):
        """Somebody wants everything to stop."""

    def __init__(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self.receive)

    def receive(self, number, frame):
        if self.stopping:
            self.hurried = True
            return
        self.stopping = True
        raise self.Asked


def own_engines():
    """The engines this stack brings itself: those without an address in the environment."""
    return [engine for engine in embedded.ENGINES if not os.environ.get(ADDRESSES[engine])]


def web_command(host, port):
    """The web server. Its workers get three seconds to end open streams; a lost one is replaced."""
    options = {"--interface": "asginl", "--host": host, "--port": port, "--workers": _web_workers()}
    flags = ["--workers-kill-timeout", "3", "--respawn-failed-workers"]
    pairs = [part for option in options.items() for part in option]
    return [sys.executable, "-m", "granian", *pairs, *flags, "config.asgi:application"]


def _web_workers():
    return os.environ.get("WEB_WORKERS", str(min(2, os.cpu_count() or 1)))


def make_children(var, host, port):
    """Web, beat and worker, in the order in which they stop. SPECTRUM_WORKER=0 leaves the worker out."""
    beat = [sys.executable, "-m", "celery", "-A", "config", "beat", "--pidfile="]
    children = [
        Child("web", web_command(host, port), var),
        Child("beat", [*beat, "--schedule", str(var / "beat-schedule")], var),
        Child(
            "worker",
            [sys.executable, str(ROOT / "manage.py"), "worker"],
            var,
            stop_limit_s=20,
            may_leave=True,
        ),
    ]
    return children if os.environ.get("SPECTRUM_WORKER", "1") != "0" else children[:-1]


@contextmanager
def only_one(var, url):
    """Hold this var folder's lock, our pid and address in it. Raises UpError when another `make up` does."""
    _make_folder(var)
    with (var / "up.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid, held_url = _holder(file)
            raise UpError(
                f"Spectrum already runs here: {held_url} (pid {pid}). `make down` stops it."
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()} {url}")
        file.flush()
        yield
        file.truncate(0)


def _make_folder(var):
    try:
        var.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError, FileNotFoundError) as error:
        raise UpError(
            f"{var} cannot be made a folder ({error.strerror}): set SPECTRUM_VAR to another."
        ) from None


def _holder(file):
    file.seek(0)
    pid, _, url = file.read().partition(" ")
    return pid, url


def prepare(var):
    """Run config.prepare to its end, its progress on our terminal. Raises UpError when a step fails."""
    process = launch([sys.executable, "-m", "config.prepare"], var)
    try:
        if process.wait() != 0:
            raise UpError("The database could not be brought up to date: the lines above say why.")
    finally:
        kill_group(process.pid)


def wait_for_answer(web, host, port):
    """Return once the web server answers. Raises UpError when it ends first or stays silent."""
    end = time.monotonic() + FIRST_ANSWER_S
    while not _answers(host, port):
        if not web.alive() or time.monotonic() > end:
            raise UpError(f"The web server does not answer. The end of {web.log}:\n{last_lines(web.log)}")
        time.sleep(0.1)


def _answers(host, port):
    connection = http.client.HTTPConnection(_reachable(host), int(port), timeout=10)
    try:
        connection.request("GET", "/")
        return bool(connection.getresponse().status)
    except OSError:
        return False
    finally:
        connection.close()


def _reachable(host):
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def watch(children, var):
    """Start again whatever ends, and keep the logs bounded, until a signal comes."""
    while True:
        time.sleep(2)
        for said in filter(None, (child.revive() for child in children)):
            print(said, flush=True)
        revive_engines(var)
        bound_logs(var)


def revive_engines(var):
    """Start engines that ended again; one that cannot be started is tried again after a pause."""
    lost = set(own_engines()) - embedded.running(var)
    if not lost:
        return
    try:
        embedded.start(var, own_engines())
        print(f"{' and '.join(sorted(lost))} had ended and runs again: see {var / 'log'}", flush=True)
    except embedded.EmbeddedError as error:
        print(error, flush=True)
        time.sleep(LONGEST_PAUSE_S)


def shut_down(children, var, signals):
    """Stop everything in order. The last sweep catches a child born as the signal came."""
    signals.stopping = True
    print(flush=True)
    for child in filter(Child.alive, children):
        print(f"  stopping {child.name}", flush=True)
        child.stop(lambda: signals.hurried)
    stop_leftovers(var)
    if own_engines():
        print(f"  stopping {' and '.join(reversed(own_engines()))}", flush=True)
        embedded.stop(var, own_engines())


def greet(url, var, elapsed_s):
    print(f"\nSpectrum is up after {elapsed_s:.1f} s\n\n  Open     {url}")
    print(f"  Sign in  admin, with the password in {var / 'admin-password'}")
    print(f"  Logs     {var / 'log'}\n\nCtrl-C stops everything.", flush=True)


def up(var, host, port, signals):
    started = time.monotonic()
    url = f"http://{'localhost' if host in {'127.0.0.1', '0.0.0.0', '::', '::1'} else host}:{port}"
    with only_one(var, url):
        if count := stop_leftovers(var):
            print(f"  ended {count} processes that a killed `make up` had left")
        if fault := port_fault(host, port):
            raise UpError(fault)
        children = make_children(var, host, port)
        try:
            _start_all(children, var, host, port)
            greet(url, var, time.monotonic() - started)
            watch(children, var)
        finally:
            shut_down(children, var, signals)


def _start_all(children, var, host, port):
    started = time.monotonic()
    embedded.start(var, own_engines())
    print(f"  {'database and broker':24}{time.monotonic() - started:6.1f} s", flush=True)
    prepare(var)
    started = time.monotonic()
    for child in children:
        child.start()
    wait_for_answer(children[0], host, port)
    print(f"  {'web, worker, beat':24}{time.monotonic() - started:6.1f} s", flush=True)


def down(var):
    """Stop the stack of this var folder, whoever started it."""
    if not var.exists():
        return
    with (var / "up.lock").open("a+") as file:
        end, asked = time.monotonic() + DOWN_LIMIT_S, False
        while not _free(file):
            if not asked:
                os.kill(int(_holder(file)[0]), signal.SIGTERM)
                asked = True
            if time.monotonic() > end:
                raise UpError(f"pid {_holder(file)[0]} does not stop: see {var / 'log'}.")
            time.sleep(0.1)
        stop_leftovers(var)
        embedded.stop(var)


def _free(file):
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def main():
    host, port = os.environ.get("HOST") or "127.0.0.1", os.environ.get("PORT") or "8000"
    os.environ["HOST"] = host  # the settings ask whether only this machine can connect
    try:
        if sys.argv[1:] == ["down"]:
            down(VAR)
        else:
            signals = Signals()
            up(VAR, host, port, signals)
    except (UpError, embedded.EmbeddedError) as error:
        sys.exit(str(error))
    except PermissionError as error:
        sys.exit(
            f"{error.filename} belongs to another user: start Spectrum as that user, or set SPECTRUM_VAR."
        )
    except Signals.Asked:
        print("Stopped.")


if __name__ == "__main__":
    main()
