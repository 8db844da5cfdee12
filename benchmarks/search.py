"""Search at any size: the real corpus, or a synthetic one around it, through HTTP against the real server.

`--papers 0 100000 2500000` chooses the sizes, growing in one throwaway database; 0 is the real corpus alone.
Expect 2.5 million papers to take 25 GB of disk under TMPDIR, 6 GB of memory and an hour (extrapolated).
"""

import argparse
import shutil
import signal
import sys
import tempfile

NEEDED_BYTES = 15_000  # of disk a paper: half as much again as 20,000 of them took, baselines included
BASELINES = ("one-table", "fts5", "tantivy")


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--papers", type=int, nargs="+", default=[0, 100_000], help="sizes; 0: the real corpus"
    )
    parser.add_argument("--queries", type=int, default=240, help="different queries of each pass")
    parser.add_argument("--seconds", type=float, default=15, help="the longest that a pass may take")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="web processes")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--fresh", type=int, default=50, help="papers accepted to measure freshness; 0: none")
    parser.add_argument("--baselines", nargs="*", choices=BASELINES, default=BASELINES, help="alone: none")
    return parser.parse_args()


def see_to_room(sizes):
    folder = tempfile.gettempdir()
    needed, free = max(sizes) * NEEDED_BYTES, shutil.disk_usage(folder).free
    print(f"Up to {needed / 1e9:.1f} GB of disk are needed under {folder}, and {free / 1e9:.0f} GB are free.")
    if needed > free:
        sys.exit("Too little room: choose fewer --papers, or another TMPDIR.")


options = arguments()
see_to_room(options.papers)
signal.signal(signal.SIGTERM, lambda *_: sys.exit("Stopped."))  # so that all it made goes away

import throwaway  # noqa: E402

throwaway.begin(corpus=True)

from searching import tables  # noqa: E402
from searching.measuring import measure_all  # noqa: E402

print(tables.machine())
measure_all(options)
