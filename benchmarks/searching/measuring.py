"""One size of corpus after the other: built, asked through HTTP, weighed, and set beside the baselines."""

import os
import shutil
import socket
import statistics
import subprocess
import sys
import time

import psycopg
from django.core.management import call_command, get_commands
from throwaway import CHECKOUT, VAR

from config import embedded
from papers.models import Claim, Paper
from searching import baselines, client, evidence, freshness, synthetic, tables
from searching.comparing import compare
from searching.fts5 import Fts5
from searching.one_table import OneTable
from searching.queries import Mix
from searching.site import serving
from searching.tables import at, figures

try:
    from searching.tantivy_index import Tantivy
except ModuleNotFoundError:
    Tantivy = None

BASELINES = {"one-table": OneTable, "fts5": Fts5, "tantivy": Tantivy}
AIMS = {10_000: 10, 500_000: 15, 5_000_000: 40}  # papers at most: ms, the p95 of the server's time
PARTIAL = [["HX-Request", "true"]]
AS_BROWSERS = [["Accept-Encoding", "gzip"]]
WARM_UP = 40


def measure_all(options):
    """Print everything about each size; they share one database, which grows."""
    call_command("load_results", verbosity=0)
    address = embedded.database_url(VAR)
    for size in sorted(options.papers):
        begun = time.perf_counter()
        rows = build(size, address)
        with psycopg.connect(address, autocommit=True) as connection:
            mix = Mix(connection)
            print(f"\n### {mix.total:,} papers", flush=True)
            passes, more = measure_site(mix, options)
            tables.passes(passes)
            for title, queries, answers, *_ in passes[:2]:
                tables.kinds(queries, answers, title)
                tables.aim(title, answers, next((ms for most, ms in AIMS.items() if mix.total <= most), None))
            tables.table(["building, processes, freshness", ""], rows + more)
            tables.sizes(connection)
            compare(measure_baselines(mix, options, address))
        took, load = time.perf_counter() - begun, os.getloadavg()[0]
        print(f"\nAll of this took {took:.0f} s; load average at the end {load:.1f}.", flush=True)


def build(size, address):
    """Bring the corpus to `size`; the rows of the table of what that took."""
    rows, here = [], Paper.objects.count()
    if size > here:
        last = Paper.objects.order_by("-pk").values_list("pk", flat=True).first()
        copied, indexed = synthetic.grow(address, size, synthetic.plain_columns(Paper, synthetic.MADE))
        added = size - here
        evidence.add(last + 1, last + 1 + added)
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
    passes, rows = Passes(mix, options), []
    with serving(free_port(), 1) as site:
        pss, uss, _ = site.memory()
        rows.append(
            ["one process from its start to its first page of `/papers`", f"{site.first_answer_s:.2f} s"]
        )
        rows.append(["its memory then, PSS and USS", f"{pss:.0f} and {uss:.0f} MB"])
    for workers in options.workers:
        with serving(free_port(), workers) as site:
            passes.run(site, workers, max(options.clients), False, keep=False)
            for clients in [clients for clients in options.clients if clients >= workers]:
                for partial in (False, True):
                    passes.run(site, workers, clients, partial)
            pss, uss, whole = site.memory()
            name = f"{plural(workers, 'process', 'es')} after the passes: the largest, PSS and USS; all, PSS"
            rows.append([name, f"{pss:.0f} and {uss:.0f}; {whole:.0f} MB"])
            if workers == options.workers[-1]:
                rows += measure_freshness(site, options.fresh) + measure_exports(site, mix)
    return passes.done, rows


def measure_freshness(site, times):
    if not times:
        return []
    delays, extras, (found, total, facet), counted = freshness.measure(site.port, times)
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
    some, everything = mix.exports(1)
    rows, connection = [], client.Connection(site.port)
    some = [connection.ask(each.path, AS_BROWSERS, whole=False) for each in some]
    told = ", ".join(f"{answer[1]:.0f}" if answer[2] == 200 else f"failed ({answer[2]})" for answer in some)
    rows.append(["first bytes of six filtered exports (BibTeX, CSV, JSON twice)", f"{told} ms"])
    answer = connection.ask(everything.path, AS_BROWSERS, whole=False)
    told = f"{answer[1]:.0f} ms" if answer[2] == 200 else f"none within {client.LIMIT_S} s"
    return [*rows, ["first bytes of all papers as CSV", told]]


def measure_baselines(mix, options, address):
    """[(name, build seconds, bytes, taken)] of each baseline, asked what the first pass asked."""
    if not options.baselines:
        return []
    source, done = baselines.Source(address), []
    queries = mix.draw(options.queries, 2)
    for name in options.baselines:
        if not (kind := BASELINES[name]):
            print("tantivy is not installed, so its baseline is left out: pip install -e '.[bench]'")
            continue
        folder = VAR / f"baseline-{name}"
        folder.mkdir()
        engine = kind(source, folder)
        begun = time.perf_counter()
        engine.build()
        built = time.perf_counter() - begun
        baselines.measure(engine, mix.draw(WARM_UP, 1), options.seconds)
        done.append((engine.name, built, engine.size(), baselines.measure(engine, queries, options.seconds)))
        engine.close()
        shutil.rmtree(folder)
    source.close()
    return done
