"""What was measured as Markdown tables, ready for benchmarks/README.md."""

import re
import subprocess
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

import psutil

from searching.queries import KINDS

SLOW_ROWS = 12


def table(heads, rows):
    print(
        "\n"
        + "\n".join("| " + " | ".join(map(str, row)) + " |" for row in [heads, ["---"] * len(heads), *rows])
    )


def at(ranked, share):
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))]


def figures(values):
    """ "p50 / p95 / p99"."""
    ranked = sorted(values)
    return " / ".join(short(at(ranked, share)) for share in (0.5, 0.95, 0.99)) if ranked else "–"


def short(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def parts(timing):
    """{"app": 12.3, "db": 4.5} of a Server-Timing header."""
    return {name: float(value) for name, value in re.findall(r"([\w-]+)\s*;[^,]*?dur=([\d.]+)", timing)}


def machine():
    """One line: when, where, on what, and how busy it was before we began."""
    cpu = next(
        iter(re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())), "unknown processor"
    )
    memory, load = psutil.virtual_memory(), psutil.getloadavg()[0]
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    commit = subprocess.run(command, capture_output=True, text=True).stdout.strip() or "unknown"
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {psutil.cpu_count()} cores ({cpu}), "
        f"{memory.total / 2**30:.0f} GB of memory ({memory.available / 2**30:.0f} free), commit `{commit}`, "
        f"load average at start {load:.1f}"
    )


def passes(measured):
    """One row a pass: (title, queries, answers, seconds, processor seconds of web and of PostgreSQL)."""
    names = part_names(answer for _, _, answers, *_ in measured for answer in answers)
    rows = []
    for title, _, answers, seconds, used in measured:
        good = [answer for answer in answers if answer[3] == 200]
        size = sorted(answer[4] for answer in good)
        cells = [figures(parts(answer[5]).get(name, 0) for answer in good) for name in names]
        bad = len(answers) - len(good)
        sizes = f"{at(size, 0.5) / 1000:.0f}" if size else "–"
        rows.append(
            [title, len(answers), figures(a[1] for a in answers), *cells, f"{len(answers) / seconds:.0f}"]
        )
        rows[-1] += [*(short(1e3 * each / max(1, len(answers))) for each in used), sizes, bad]
    heads = ["ms, p50 / p95 / p99", "n", "whole request", *(f"server: {name}" for name in names)]
    costs = ["web processor ms a request", "PostgreSQL's"]
    table([*heads, "requests/s", *costs, "kB", "failed"], rows)


def kinds(queries, answers, caption):
    """One row a kind of query, all of one pass."""
    names = part_names(answers)
    groups = defaultdict(list)
    for answer in answers:
        groups[queries[answer[0]].kind].append(answer)
    rows = []
    for kind, group in groups.items():
        good = [parts(answer[5]) for answer in group if answer[3] == 200]
        cells = [figures(each[name] for each in good if name in each) for name in names]
        rows.append([kind, len(group), figures(answer[1] for answer in group), *cells])
    rows.sort(key=lambda row: list(KINDS).index(row[0]))
    table([caption, "n", "whole request", *(f"server: {name}" for name in names)], rows)


def aim(title, answers, ms):
    """The p95 of the server's time against the aim of this size."""
    taken = sorted(parts(answer[5]).get("app", 0) for answer in answers if answer[3] == 200)
    if taken and ms:
        print(f"\n{title}: p95 of the server's time {short(at(taken, 0.95))} ms, aim {ms} ms.")


def part_names(answers):
    found = dict.fromkeys(name for answer in answers for name in parts(answer[5]))
    return sorted(found, key=lambda name: (name != "app", name != "db"))


def sizes(connection):
    """Tables with their indexes, the large ones apart, the rest as one row."""
    found = connection.execute(
        "SELECT c.relname, pg_total_relation_size(c.oid) - pg_indexes_size(c.oid), pg_indexes_size(c.oid) "
        "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = 'public' AND c.relkind = 'r' ORDER BY pg_total_relation_size(c.oid) DESC"
    ).fetchall()
    mb = [(name, heap / 2**20, index / 2**20) for name, heap, index in found]
    rows = [
        [f"`{name}`", f"{heap:.1f}", f"{index:.1f}"]
        for name, heap, index in mb[:SLOW_ROWS]
        if heap + index > 0.5
    ]
    left = mb[len(rows) :]
    rows.append(["the others", f"{sum(row[1] for row in left):.1f}", f"{sum(row[2] for row in left):.1f}"])
    rows.append(["all", f"{sum(row[1] for row in mb):.1f}", f"{sum(row[2] for row in mb):.1f}"])
    table(["MB", "table", "its indexes"], rows)
    indexes = connection.execute(
        "SELECT indexrelname, pg_relation_size(indexrelid) / 1048576.0 FROM pg_stat_user_indexes "
        "WHERE schemaname = 'public' AND pg_relation_size(indexrelid) > 1048576 ORDER BY 2 DESC LIMIT %s",
        [SLOW_ROWS],
    ).fetchall()
    if indexes:
        table(["index over 1 MB", "MB"], [[f"`{name}`", f"{size:.1f}"] for name, size in indexes])
