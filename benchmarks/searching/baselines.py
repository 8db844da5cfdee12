"""Three other ways to the same answer, result page and all facet counts: one table, SQLite FTS5, tantivy.

All read the same flat rows, count the same facets (each without its own filter), and run without HTTP.
"""

import time
from dataclasses import replace

import psycopg

from reproduce import catalogue

FACETS = ("axis", "technique", "year", "venue", "evidence", "code")
LIMIT_S = 30
FLAT = """
DROP SCHEMA IF EXISTS flat CASCADE;
CREATE SCHEMA flat;
CREATE UNLOGGED TABLE flat.tagging AS
    SELECT paper_id AS paper, 'technique:' || slug AS name
        FROM papers_paper_techniques pt JOIN papers_technique t ON t.id = pt.technique_id
    UNION SELECT paper_id, 'axis:' || axis
        FROM papers_paper_techniques pt JOIN papers_technique t ON t.id = pt.technique_id
    UNION SELECT id, 'year:' || year FROM papers_paper
    UNION SELECT id, 'venue:' || venue FROM papers_paper WHERE venue <> ''
    UNION SELECT id, 'code:yes' FROM papers_paper WHERE code_url <> ''
    UNION SELECT paper_id, 'evidence:claims' FROM papers_claim
    UNION SELECT id, 'evidence:recipe' FROM papers_paper WHERE id = ANY(%(recipes)s);
CREATE UNLOGGED TABLE flat.measured AS
    SELECT r.paper_id AS paper, m.verdict FROM reproduce_measurement m JOIN reproduce_run r ON r.id = m.run_id
    WHERE r.status = 'done' AND r.preset = 'full' AND r.origin <> 'contributed';
INSERT INTO flat.tagging SELECT DISTINCT paper, 'evidence:measured' FROM flat.measured
    UNION SELECT DISTINCT paper, 'evidence:' || verdict FROM flat.measured;
CREATE TABLE flat.tag AS SELECT (row_number() OVER (ORDER BY name))::int AS id, name
    FROM (SELECT DISTINCT name FROM flat.tagging);
CREATE UNLOGGED TABLE flat.source AS
    SELECT p.id::int, title, authors, abstract, year::int, coalesce(month, 0)::int AS month, venue,
        coalesce(claimed, 0)::int AS claimed, coalesce(measured, 0)::int AS measured, tags
    FROM papers_paper p
    JOIN (SELECT paper, array_agg(t.id) AS tags FROM flat.tagging JOIN flat.tag t USING (name) GROUP BY 1) g
        ON g.paper = p.id
    LEFT JOIN (SELECT paper_id, count(*) AS claimed FROM papers_claim GROUP BY 1) c ON c.paper_id = p.id
    LEFT JOIN (SELECT paper, count(*) AS measured FROM flat.measured GROUP BY 1) m ON m.paper = p.id;
DROP TABLE flat.tagging, flat.measured;
"""
COLUMNS = "id, title, authors, abstract, year, month, venue, claimed, measured, tags"


class Source:
    """The flat rows that every baseline is built from, in a schema of their own in the same PostgreSQL."""

    def __init__(self, address):
        self.connection = psycopg.connect(address, autocommit=True)
        recipes = [paper.pk for paper in map(catalogue.paper_of, catalogue.recipes()) if paper]
        for statement in FLAT.split(";\n"):
            if statement.strip():
                self.connection.execute(
                    psycopg.sql.SQL(statement), {"recipes": recipes} if "%(" in statement else None
                )
        self.connection.execute("ANALYZE flat.source")
        self.tags = dict(self.connection.execute("SELECT name, id FROM flat.tag"))
        self.names = {number: name for name, number in self.tags.items()}

    def rows(self):
        """All of them, streamed."""
        with self.connection.transaction(), self.connection.cursor("flat_rows") as cursor:
            cursor.itersize = 5000
            yield from cursor.execute(f"SELECT {COLUMNS} FROM flat.source")

    def close(self):
        self.connection.execute("DROP SCHEMA IF EXISTS flat CASCADE")
        self.connection.close()


def chosen(query):
    """{facet: values} of a query, its years under "year" as a pair."""
    return dict(query.facets) | ({"year": query.years} if query.years else {})


def sets(query):
    """The queries whose papers must be counted: all filters, then each chosen facet without its own."""
    yield None, query
    for facet in chosen(query):
        kept = {name: values for name, values in query.facets.items() if name != facet}
        yield facet, replace(query, facets=kept, years=None if facet == "year" else query.years)


def gathered(by_set):
    """{facet value: count}, each facet from the set that leaves its own filter out."""
    found = {}
    for facet in FACETS:
        counts = by_set.get(facet, by_set[None])
        found |= {name: count for name, count in counts.items() if name.startswith(facet + ":")}
    return found


def total(counts):
    """Every paper has one year, so the years of a set add up to it."""
    return sum(count for name, count in counts.items() if name.startswith("year:"))


def measure(engine, queries, seconds):
    """[(query, ms, answer or None)] of as many queries as the time allows."""
    taken, end = [], time.perf_counter() + seconds
    for query in queries:
        if time.perf_counter() > end:
            break
        begun = time.perf_counter()
        try:
            answer = engine.answer(query)
        except TimeoutError:
            answer = None
        taken.append((query, 1e3 * (time.perf_counter() - begun), answer))
    return taken
