"""Search at any size: the real corpus, or a synthetic one around it, through HTTP against the real server.

`--papers 0 100000 2500000` chooses the sizes, growing in one throwaway database; 0 is the real corpus alone.
2.5 million papers take about 25 GB of disk under TMPDIR, 6 GB of free memory and the better part of an hour.
"""

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time

import psycopg
import throwaway
from throwaway import CHECKOUT, VAR

AIMS = {100_000: 15, 2_500_000: 40}  # ms, p95 of the server's time; 10 at the real corpus
PARTIAL = [["HX-Request", "true"]]
AS_BROWSERS = [["Accept-Encoding", "gzip"]]
NEEDED_BYTES = 10_000  # of disk a paper, baselines included
WARM_UP = 40


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
    names = ["one-table", "fts5", "tantivy"]
    parser.add_argument("--baselines", nargs="*", choices=names, default=names, help="nothing after it: none")
    return parser.parse_args()


def refuse_too_little_room(sizes):
    needed, free = max(sizes) * NEEDED_BYTES, shutil.disk_usage(VAR).free
    print(f"Needs up to {needed / 1e9:.1f} GB of disk under {VAR.parent}; {free / 1e9:.0f} GB are free.")
    if needed > free:
        sys.exit("Too little room: choose fewer --papers, or another TMPDIR.")


def build(size, address):
    """Bring the corpus to `size`; the rows of the table of what that took."""
    from papers.models import Claim, Paper
    from searching import evidence, synthetic

    rows, here = [], Paper.objects.count()
    if size > here:
        last = Paper.objects.order_by("-pk").values_list("pk", flat=True).first()
        copied, indexed = synthetic.grow(address, size, synthetic.plain_columns(Paper, synthetic.MADE))
        evidence.add(last + 1)
        added = size - here
        rows.append(
            [f"{added:,} papers made and copied, 2 processes", f"{copied:.1f} s, {added / copied:,.0f}/s"]
        )
        rows.append(["indexes of the tables and VACUUM ANALYZE", f"{indexed:.1f} s"])
    rows.append(["papers, claims", f"{Paper.objects.count():,}, {Claim.objects.count():,}"])
    rows.append(["`index_papers`", index_papers()])
    with psycopg.connect(address, autocommit=True) as connection:
        synthetic.settle(connection)
    return rows


def index_papers():
    """Seconds and peak memory of the command that builds the postings, where there is one."""
    from django.core.management import get_commands

    if "index_papers" not in get_commands():
        return "this build has none"
    begun = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "manage.py", "index_papers"], cwd=CHECKOUT, stdout=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit("index_papers failed: see above.")
    return f"{time.perf_counter() - begun:.1f} s, at most {used.ru_maxrss / 1024:.0f} MB"


class Passes:
    """Every pass asks queries of its own, so that no result that a server remembers helps it."""

    def __init__(self, mix, options):
        self.mix, self.options, self.seed, self.done = mix, options, 0, []

    def run(self, site, workers, clients, partial, keep=True):
        from searching import client

        self.seed += 1
        queries = self.mix.draw(self.options.queries if keep else WARM_UP, self.seed)
        headers = AS_BROWSERS + (PARTIAL if partial else [])
        before = site.processor_s()
        got = client.load(site.port, [each.path for each in queries], clients, self.options.seconds, headers)
        if keep:
            title = f"{'partial' if partial else 'full page'}, {plural(workers, 'process', 'es')}, "
            used = [after - start for after, start in zip(site.processor_s(), before, strict=True)]
            self.done.append(
                (title + plural(clients, "client"), queries, got["answers"], got["seconds"], used)
            )
            complain(queries, got["answers"])
        return queries


def plural(count, noun, ending="s"):
    return f"{count} {noun}{ending if count != 1 else ''}"


def complain(queries, answers):
    bad = [(answer[3] or "no answer", queries[answer[0]].path) for answer in answers if answer[3] != 200]
    for status, path in bad[:3]:
        print(f"  {status}: {path}", file=sys.stderr)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def measure_site(mix, options):
    """All passes against the server; (passes, rows about processes, freshness, exports)."""
    from searching.site import serving

    passes, rows, timed = Passes(mix, options), [], False
    with serving(free_port(), 1) as site:
        timed = not site.timing
        pss, uss, _ = site.memory()
        rows.append(
            ["one process from its start to its first page of `/papers`", f"{site.first_answer_s:.2f} s"]
        )
        rows.append(["its memory then, PSS and USS", f"{pss:.0f} and {uss:.0f} MB"])
    if timed:
        print("This build sends no Server-Timing: a middleware of the benchmark measures the server's time.")
    for workers in options.workers:
        with serving(free_port(), workers, timed) as site:
            passes.run(site, workers, max(options.clients), False, keep=False)
            for clients in [clients for clients in options.clients if clients >= workers]:
                for partial in (False, True):
                    passes.run(site, workers, clients, partial)
            pss, uss, whole = site.memory()
            rows.append(
                [
                    f"{plural(workers, 'process', 'es')} after its passes: the largest, PSS and USS; all, PSS",
                    f"{pss:.0f} and {uss:.0f}; {whole:.0f} MB",
                ]
            )
            if workers == options.workers[0]:
                rows += measure_freshness(site, options.fresh) + measure_exports(site, mix)
    return passes.done, rows


def measure_freshness(site, times):
    from searching import freshness

    if not times:
        return []
    delays, extras, (found, total, facet), counted = freshness.measure(site.port, times)
    from searching.tables import at, figures

    return [
        [f"{times} papers accepted: the next request finds it", f"{found} of {times}"],
        ["… and counts it: in the total, in its facet, in the total of all", f"{total}, {facet}, {counted}"],
        ["… from commit to that answer received, p50 / p95 / p99", f"{figures(1e3 * d for d in delays)} ms"],
        [
            "… more than the same request with nothing new, median and p95",
            f"{statistics.median(extras):.2f} and {at(sorted(extras), 0.95):.2f} ms",
        ],
    ]


def measure_exports(site, mix):
    """The first bytes of exports. That of everything comes last: a server may go on with it for long."""
    from searching.client import LIMIT_S, Connection

    some, everything = mix.exports(1)
    rows, connection = [], Connection(site.port)
    some = [connection.ask(each.path, AS_BROWSERS, whole=False) for each in some]
    told = ", ".join(f"{answer[1]:.0f}" if answer[2] == 200 else f"failed ({answer[2]})" for answer in some)
    rows.append(["first bytes of six filtered exports (BibTeX, CSV, JSON twice)", f"{told} ms"])
    answer = connection.ask(everything.path, AS_BROWSERS, whole=False)
    told = f"{answer[1]:.0f} ms" if answer[2] == 200 else f"none within {LIMIT_S} s"
    return [*rows, ["first bytes of all papers as CSV", told]]


def measure_baselines(mix, options, address):
    """[(name, build seconds, bytes, taken)] of each baseline, asked what the first pass asked."""
    from searching import baselines

    if not options.baselines:
        return []
    source, done = baselines.Source(address), []
    queries = mix.draw(options.queries, 2)
    for name in options.baselines:
        if not (kind := baseline(name)):
            continue
        folder = VAR / f"baseline-{name}"
        folder.mkdir()
        engine = kind(source, folder)
        begun = time.perf_counter()
        engine.build()
        built = time.perf_counter() - begun
        baselines.measure(engine, mix.draw(WARM_UP, 1), options.seconds)
        done.append((engine.name, built, engine.size(), baselines.measure(engine, queries, options.seconds)))
        del engine
        shutil.rmtree(folder)
    source.close()
    return done


def baseline(name):
    if name == "one-table":
        from searching.one_table import OneTable as kind
    elif name == "fts5":
        from searching.fts5 import Fts5 as kind
    else:
        try:
            from searching.tantivy_index import Tantivy as kind
        except ModuleNotFoundError:
            print("tantivy is not installed, so its baseline is left out: pip install -e '.[bench]'")
            return None
    return kind


def main():
    options = arguments()
    options.papers.sort()
    from searching import tables

    print(tables.machine())
    refuse_too_little_room(options.papers)
    throwaway.begin(corpus=True)
    from django.core.management import call_command

    from config import embedded
    from searching.comparing import compare
    from searching.queries import Mix

    call_command("load_results", verbosity=0)
    address = embedded.database_url(VAR)
    for size in options.papers:
        begun = time.perf_counter()
        rows = build(size, address)
        with psycopg.connect(address, autocommit=True) as connection:
            mix = Mix(connection)
            print(f"\n### {mix.total:,} papers", flush=True)
            passes, more = measure_site(mix, options)
            tables.passes(passes)
            for title, queries, answers, *_ in passes[:2]:
                tables.kinds(queries, answers, title)
            tables.table(["building, processes, freshness", ""], rows + more)
            tables.sizes(connection)
            compare(measure_baselines(mix, options, address))
        print(f"\nAll of this took {time.perf_counter() - begun:.0f} s.", flush=True)


if __name__ == "__main__":
    main()
