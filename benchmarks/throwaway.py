"""A Spectrum database of its own for a benchmark, gone afterwards. Import this before any model."""

import atexit
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(CHECKOUT))
VAR = Path(tempfile.mkdtemp(prefix="spectrum-bench-"))
VAR.chmod(0o755)
os.environ |= {"SPECTRUM_VAR": str(VAR), "DJANGO_SETTINGS_MODULE": "config.settings"}
for name in ("DATABASE_URL", "BROKER_URL"):
    os.environ.pop(name, None)

import django  # noqa: E402
from django.core.management import call_command  # noqa: E402

from config import embedded  # noqa: E402


def begin(engines=("postgres",), corpus=False):
    """Start the engines, make the tables, and see to it that all of it goes away."""
    embedded.start(VAR, engines=engines)
    atexit.register(shutil.rmtree, VAR, ignore_errors=True)
    atexit.register(embedded.stop, VAR)
    django.setup()
    call_command("migrate", verbosity=0)
    call_command("createcachetable")
    if corpus:
        call_command("load_corpus", verbosity=0)


def timed(action):
    """Seconds that one call takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def report(name, seconds):
    """One line: median and 95th percentile of many calls, in milliseconds."""
    ranked = sorted(seconds)
    middle, p95 = statistics.median(ranked), ranked[min(len(ranked) - 1, int(0.95 * len(ranked)))]
    print(f"{name:55} p50 {1e3 * middle:8.2f} ms   p95 {1e3 * p95:8.2f} ms   n = {len(ranked)}")
