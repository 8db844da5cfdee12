"""A whole Spectrum, kept by its own supervisor, while everything in it is killed at random: a table, all zero.

python -m tests.chaos --broker valkey --runs 400 --seed 7
"""

import argparse
import importlib
import json
import os
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

import django

from config.children import leftovers
from tests.chaos.brokers import BROKERS, missing
from tests.chaos.disk import small_disk
from tests.live import Stack, free_port

CHECKOUT = Path(__file__).resolve().parent.parent.parent
SKIPPED = 3
MEMORY_GB = 0.4
SHORT_LEASE_S = 10


class ChaosStack(Stack):
    """A stack whose workers run toys, and perhaps with a broker of Debian's."""

    def marked(self):
        """The supervisor's children and theirs: neither itself nor a process of a run."""
        return leftovers(self.var)


def main():
    given = arguments()
    if missing(given.broker):
        print(f"{given.broker} is not installed here: skipped")
        return 0 if given.allow_missing else SKIPPED
    var = Path(tempfile.mkdtemp(prefix="spectrum-chaos-"))
    var.chmod(0o755)  # PostgreSQL must pass, and runs under an account of its own
    try:
        return ride(given, var)
    finally:
        if not given.keep:
            shutil.rmtree(var, ignore_errors=True)
            var.with_name(f"{var.name}-output.txt").unlink(missing_ok=True)


def arguments():
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--broker", choices=list(BROKERS), default="valkey")
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--minutes", type=float, default=30, help="give up after so long")
    parser.add_argument("--pause", type=float, default=0.6, help="seconds between two deeds")
    parser.add_argument("--short", action="store_true", help="each deed once, short leases, less noise")
    parser.add_argument("--allow-missing", action="store_true", help="a broker that is not here is no fault")
    parser.add_argument("--keep", action="store_true", help="leave the throwaway folder behind")
    return parser.parse_args()


def ride(given, var):
    """Bring the stack up, let the storm pass over it, take it down; 1 when anything was not zero."""
    broker = BROKERS[given.broker](var)
    prepare(given, var, broker)
    storm = importlib.import_module("tests.chaos.storm")  # reads the settings, so not before they are made
    stack = ChaosStack(CHECKOUT, var, free_port())
    with small_disk(var / "runs") as may_fill:
        try:
            stack.start([sys.executable, "-m", "tests.chaos.up"])
            told = storm.weather(given, stack, broker, may_fill)
        finally:
            stack.stop()
    told.faults["orphans"] += [f"{left} is left of the stack" for left in stack.processes()]
    print(told.table(given), flush=True)
    return int(any(told.faults.values()))


def prepare(given, var, broker):
    """The environment of the stack, which is our own too: we ask its database what became of the runs."""
    os.environ |= {
        "SPECTRUM_VAR": str(var),
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "HOST": "127.0.0.1",
        "WEB_WORKERS": "1",
        "RUN_MEMORY_GB": str(MEMORY_GB),
        "CHAOS_BROKER": json.dumps(broker.command),
        "CHAOS_SHOUT_MB": "50" if given.short else "1000",
    }
    for name in ("DATABASE_URL", "BROKER_URL", "SECRET_KEY"):
        os.environ.pop(name, None)
    if given.short:
        os.environ["LEASE_S"] = str(SHORT_LEASE_S)
    if broker.url:
        os.environ |= {"BROKER_URL": broker.url, "SECRET_KEY": secrets.token_urlsafe(50)}
    django.setup()


if __name__ == "__main__":
    sys.exit(main())
