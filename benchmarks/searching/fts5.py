"""Baseline: SQLite FTS5 (porter stems, prefix indexes, contentless), tags in a clustered table beside it."""

import sqlite3
import time

from searching.baselines import LIMIT_S, chosen, gathered, sets, total
from searching.queries import PAGE_SIZE

TABLES = """
PRAGMA journal_mode = off;
PRAGMA synchronous = off;
PRAGMA cache_size = -262144;
PRAGMA mmap_size = 8589934592;
PRAGMA temp_store = memory;
CREATE TABLE paper
    (id INTEGER PRIMARY KEY, title, authors, year INT, month INT, venue, claimed INT, measured INT);
CREATE TABLE tagging (paper INT, tag INT, PRIMARY KEY (paper, tag)) WITHOUT ROWID;
CREATE VIRTUAL TABLE text USING fts5 (title, authors, abstract, content='', prefix='2 3',
    tokenize='porter unicode61 remove_diacritics 2');
"""
INDEXES = """
CREATE INDEX tagged ON tagging (tag, paper);
CREATE INDEX newest ON paper (year DESC, month DESC, id DESC);
CREATE INDEX measured ON paper (measured DESC, claimed DESC, year DESC, month DESC, id DESC);
CREATE INDEX titles ON paper (title, id);
INSERT INTO text (text) VALUES ('optimize');
ANALYZE;
"""
ORDERS = {
    "relevance": "bm25(text, 10, 4, 2), year DESC, month DESC, paper.id DESC",
    "newest": "year DESC, month DESC, paper.id DESC",
    "measured": "measured DESC, claimed DESC, year DESC, month DESC, paper.id DESC",
    "title": "paper.title, paper.id",
}


class Fts5:
    name = f"SQLite {sqlite3.sqlite_version} FTS5"

    def __init__(self, source, folder):
        self.source, self.path = source, folder / "fts5.sqlite"
        self.connection = sqlite3.connect(self.path, isolation_level=None)
        self.connection.executescript(TABLES)

    def build(self):
        run = self.connection.execute
        run("BEGIN")
        for key, title, authors, abstract, year, month, venue, claimed, measured, tags in self.source.rows():
            row = key, title, authors, year, month, venue, claimed, measured
            run("INSERT INTO paper VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
            run(
                "INSERT INTO text (rowid, title, authors, abstract) VALUES (?, ?, ?, ?)",
                (key, title, authors, abstract),
            )
            self.connection.executemany(
                "INSERT INTO tagging VALUES (?, ?)", [(key, tag) for tag in sorted(tags)]
            )
        run("COMMIT")
        self.connection.executescript(INDEXES)

    def size(self):
        return self.path.stat().st_size

    def answer(self, query):
        end = time.perf_counter() + LIMIT_S
        self.connection.set_progress_handler(lambda: time.perf_counter() > end, 100_000)
        try:
            by_set = {facet: self._counts(each) for facet, each in sets(query)}
            page = self._page(query)
        except sqlite3.OperationalError as error:
            if "interrupted" in str(error):
                raise TimeoutError from None
            raise
        return total(by_set[None]), page, gathered(by_set)

    def _counts(self, query):
        values = []
        found = self._found(query, values)
        if found:
            rows = self.connection.execute(
                f"WITH found AS MATERIALIZED ({found}) SELECT tag, count(*) FROM found JOIN tagging "
                "ON tagging.paper = found.id GROUP BY tag",
                values,
            )
        else:
            rows = self.connection.execute("SELECT tag, count(*) FROM tagging GROUP BY tag")
        return {self.source.names[tag]: count for tag, count in rows}

    def _found(self, query, values):
        """The ids of a set, as a SELECT; empty for all papers."""
        parts = []
        if query.text:
            parts.append("SELECT rowid AS id FROM text WHERE text MATCH ?")
            values.append(self._text(query))
        for facet, wanted in chosen(query).items():
            if facet == "year":
                parts.append("SELECT id FROM paper WHERE year BETWEEN ? AND ?")
                values += wanted
            else:
                parts.append(f"SELECT paper FROM tagging WHERE tag IN ({', '.join('?' * len(wanted))})")
                values += [self.source.tags.get(f"{facet}:{value}", 0) for value in wanted]
        return " INTERSECT ".join(parts).replace("SELECT paper", "SELECT DISTINCT paper AS id", 1)

    def _page(self, query):
        values, by_text = [], bool(query.text) and query.order == "relevance"
        conditions, joined = ["true"], ""
        if query.text and by_text:
            joined = "JOIN text ON text.rowid = paper.id"
            conditions.append("text MATCH ?")
            values.append(self._text(query))
        elif query.text:
            conditions.append("paper.id IN (SELECT rowid FROM text WHERE text MATCH ?)")
            values.append(self._text(query))
        for facet, wanted in chosen(query).items():
            if facet == "year":
                conditions.append("year BETWEEN ? AND ?")
                values += wanted
            else:
                marks = ", ".join("?" * len(wanted))
                conditions.append(f"paper.id IN (SELECT paper FROM tagging WHERE tag IN ({marks}))")
                values += [self.source.tags.get(f"{facet}:{value}", 0) for value in wanted]
        order = ORDERS[query.order if by_text or query.order != "relevance" else "newest"]
        columns, where = "paper.id, paper.title, paper.authors, year, venue", " AND ".join(conditions)
        statement = f"SELECT {columns} FROM paper {joined} WHERE {where}"
        page = f"ORDER BY {order} LIMIT {PAGE_SIZE} OFFSET {PAGE_SIZE * (query.page - 1)}"
        return [row[0] for row in self.connection.execute(f"{statement} {page}", values)]

    def _text(self, query):
        parts = [f'"{word}"' for word in query.words]
        parts += [f'"{query.phrase}"'] if query.phrase else []
        parts += [f'"{query.prefix}"*'] if query.prefix else []
        parts += [f'authors : "{query.author}"'] if query.author else []
        return " AND ".join(parts)

    def close(self):
        self.connection.close()
