"""A corpus of any size beside the real one: rows made in two processes, and copied into bare tables.

Triggers sleep and indexes are away meanwhile, so `index_papers` must run afterwards where it exists.
"""

import json
import multiprocessing
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import numpy as np
import psycopg
from psycopg import sql

from searching.words import Names, Vocabulary, draw, zipf

CHUNK = 10_000
YEARS = np.arange(1991, 2026)
YEAR_SHARES = 1.12 ** np.arange(len(YEARS)) / (1.12 ** np.arange(len(YEARS))).sum()
TABLES = ("papers_paper", "papers_identifier", "papers_paper_techniques")
FIRST_ARXIV_MONTH = 2007 * 12 + 3  # five digits came in 2015, so no number of these is a real paper's
IDENTIFIERS = ("paper_id", "scheme", "value")
TAGS = ("paper_id", "technique_id")
MADE = ("id", "key", "title", "title_key", "authors", "year", "month", "venue", "abstract", "url", "code_url")


@cache
def sources():
    return Vocabulary(), Names()


def arxiv_id(number):
    month = FIRST_ARXIV_MONTH + number // 90_000
    return f"{month // 12 % 100:02}{month % 12 + 1:02}.{10_000 + number % 90_000}"


def papers(first, count, rng):
    """The columns of `count` papers that are worth inventing, by name."""
    vocabulary, names = sources()
    titles, (authors, surnames) = vocabulary.titles(count, rng), names.authors(count, rng)
    years = rng.choice(YEARS, count, p=YEAR_SHARES).tolist()
    ids = range(first, first + count)
    stems = ["".join(filter(str.isascii, name.lower().replace(" ", ""))) for name in surnames]
    words = [title.split()[0].lower() for title in titles]
    venues = names.venues[draw(names.venue_shares, count, rng)].tolist()
    unpublished, coded = rng.random(count) < 0.25, rng.random(count) < 0.2
    months = [int(month) or None for month in rng.integers(0, 13, count)]
    return {
        "id": list(ids),
        "key": [f"{s[:30]}{y}{w[:20]}{n}" for s, y, w, n in zip(stems, years, words, ids, strict=True)],
        "title": titles,
        "title_key": [title.lower().replace(" ", "")[:200] for title in titles],
        "authors": authors,
        "year": years,
        "month": months,
        "venue": ["" if no else venue for no, venue in zip(unpublished, venues, strict=True)],
        "abstract": vocabulary.abstracts(count, rng),
        "url": [f"https://arxiv.org/abs/{arxiv_id(n)}" for n in ids],
        "code_url": [
            f"https://github.com/made/{n}" if yes else "" for yes, n in zip(coded, ids, strict=True)
        ],
    }


def tags(ids, technique_ids, rng):
    """(paper, technique) pairs: two techniques a paper on average, some far more common than others."""
    shares = zipf(len(technique_ids), 1.0, 1.0)
    sizes = 1 + rng.binomial(4, 0.25, len(ids))
    drawn = draw(shares, (len(ids), 5), rng).tolist()
    for paper, size, ranks in zip(ids, sizes.tolist(), drawn, strict=True):
        for rank in set(ranks[:size]):
            yield paper, technique_ids[rank]


def identifiers(ids, rng):
    """An arXiv id for most, a DOI for many."""
    chances = rng.random((len(ids), 2)) < (0.85, 0.45)
    for paper, (arxiv, doi) in zip(ids, chances.tolist(), strict=True):
        if arxiv:
            yield paper, "arxiv", arxiv_id(paper)
        if doi or not arxiv:
            yield paper, "doi", f"10.5555/made.{paper}"


def copy_chunk(address, constant, technique_ids, first, count):
    """Make and store one chunk, the same for the same numbers."""
    rng = np.random.default_rng((20, first))
    made = papers(first, count, rng)
    with psycopg.connect(address) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("SET synchronous_commit = off")
        columns = [*made, *constant]
        rows = zip(*made.values(), *([value] * count for value in constant.values()), strict=True)
        copy(connection, "papers_paper", columns, rows)
        copy(connection, "papers_identifier", IDENTIFIERS, identifiers(made["id"], rng))
        copy(connection, "papers_paper_techniques", TAGS, tags(made["id"], technique_ids, rng))
    return count


def copy(connection, table, columns, rows):
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), names)
    with connection.cursor() as cursor, cursor.copy(statement) as stream:
        for row in rows:
            stream.write_row(row)


def grow(address, size, constant):
    """Add papers until there are `size`; seconds of copying, and of building indexes and VACUUM."""
    with psycopg.connect(address, autocommit=True) as connection:
        here, last = connection.execute("SELECT count(*), max(id) FROM papers_paper").fetchone()
        techniques = [row[0] for row in connection.execute("SELECT id FROM papers_technique ORDER BY id")]
        np.random.default_rng(5).shuffle(techniques)
        begun = time.perf_counter()
        with bare(connection):
            job = [address, constant, techniques, last + 1, last + 1 + size - here]
            command = [
                sys.executable,
                "-m",
                "searching.synthetic",
            ]  # this process has threads: it must not fork
            folder = Path(__file__).resolve().parents[1]
            subprocess.run(command, input=json.dumps(job, default=str), text=True, check=True, cwd=folder)
            copied = time.perf_counter()
        settle(connection)
    return copied - begun, time.perf_counter() - copied


def main():
    """Make and copy the papers of the ids first..end in two processes that share one vocabulary."""
    *given, first, end = json.load(sys.stdin)
    sources()
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
        jobs = [pool.submit(copy_chunk, *given, n, min(CHUNK, end - n)) for n in range(first, end, CHUNK)]
        for number, job in enumerate(jobs):
            job.result()
            if number % 25 == 24:
                print(f"  {(number + 1) * CHUNK:,} papers copied", flush=True)


@contextmanager
def bare(connection):
    """The tables without indexes, except primary keys, and without autovacuum; all is back afterwards."""
    again = []
    for table in TABLES:
        connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
        for name, definition in connection.execute(
            "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint "
            "WHERE conrelid = %s::regclass AND contype = 'u'",
            [table],
        ).fetchall():
            connection.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')
            again.append(f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {definition}')
        for name, definition in connection.execute(
            "SELECT indexrelid::regclass, pg_get_indexdef(indexrelid) FROM pg_index "
            "WHERE indrelid = %s::regclass AND NOT indisprimary",
            [table],
        ).fetchall():
            connection.execute(f"DROP INDEX {name}")
            again.append(definition)
    yield
    connection.execute("SET maintenance_work_mem = '1GB'")
    for statement in again:
        connection.execute(statement)
    for table in TABLES:
        connection.execute(f"ALTER TABLE {table} RESET (autovacuum_enabled)")
        connection.execute(
            f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table}))"
        )


def settle(connection):
    """What autovacuum would do in time, so that no measurement meets it."""
    connection.execute("VACUUM (ANALYZE)")
    connection.execute("CHECKPOINT")


def plain_columns(model, given):
    """The columns of a Django model that have no value in `given`, with their defaults, for COPY."""
    now, found = datetime.now(UTC), {}
    for field in model._meta.concrete_fields:
        if field.name in given or field.generated or field.has_db_default():
            continue
        value = now if getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False) else None
        value = field.get_default() if value is None else value
        found[field.column] = json.dumps(value) if isinstance(value, list | dict) else value
    return found


if __name__ == "__main__":
    main()
