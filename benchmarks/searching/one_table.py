"""Baseline: one PostgreSQL table, stored tsvector and array tags under GIN, facets in one statement."""

import psycopg

from searching.baselines import COLUMNS, LIMIT_S, chosen, gathered, sets, total
from searching.queries import PAGE_SIZE

VECTOR = (
    "setweight(to_tsvector('english', title), 'A') || setweight(to_tsvector('simple', authors), 'B') || "
    "setweight(to_tsvector('english', abstract), 'C')"
)
ORDERS = {
    "relevance": "ts_rank_cd(search, {text}) DESC, year DESC, month DESC, id DESC",
    "newest": "year DESC, month DESC, id DESC",
    "measured": "measured DESC, claimed DESC, year DESC, month DESC, id DESC",
    "title": "title, id",
}
INDEXES = (
    "CREATE UNIQUE INDEX ON flat.paper (id)",
    "CREATE INDEX ON flat.paper USING gin (search)",
    "CREATE INDEX ON flat.paper USING gin (tags)",
    "CREATE INDEX ON flat.paper (year DESC, month DESC, id DESC)",
    "CREATE INDEX ON flat.paper (measured DESC, claimed DESC, year DESC, month DESC, id DESC)",
    "CREATE INDEX ON flat.paper (title, id)",
)


class OneTable:
    name = "one PostgreSQL table"

    def __init__(self, source, folder):
        self.source, self.connection = source, source.connection

    def build(self):
        self.connection.execute("SET maintenance_work_mem = '1GB'")
        self.connection.execute(
            f"CREATE TABLE flat.paper AS SELECT {COLUMNS}, {VECTOR} AS search FROM flat.source"
        )
        for statement in INDEXES:
            self.connection.execute(statement)
        self.connection.execute("VACUUM (ANALYZE) flat.paper")
        self.connection.execute(f"SET statement_timeout = '{LIMIT_S}s'")
        self.connection.execute("SET work_mem = '64MB'")

    def size(self):
        return self.connection.execute("SELECT pg_total_relation_size('flat.paper')").fetchone()[0]

    def close(self):
        self.connection.execute("DROP TABLE flat.paper")
        self.connection.execute("RESET statement_timeout")

    def answer(self, query):
        try:
            by_set, values = {name: {} for name, _ in sets(query)}, []
            parts = [self._counting(number, each, values) for number, (_, each) in enumerate(sets(query))]
            order = list(by_set)
            for number, tag, count in self.connection.execute(" UNION ALL ".join(parts), values):
                by_set[order[number]][self.source.names[tag]] = count
            page = self._page(query)
        except psycopg.errors.QueryCanceled:
            raise TimeoutError from None
        return total(by_set[None]), page, gathered(by_set)

    def _counting(self, number, query, values):
        where = self._where(query, values)
        return (
            f"SELECT {number}, tag, count(*) FROM flat.paper, unnest(tags) AS tag WHERE {where} GROUP BY tag"
        )

    def _page(self, query):
        values = []
        where = self._where(query, values)
        order = ORDERS[query.order if query.text else query.order.replace("relevance", "newest")]
        if "{text}" in order:
            order = order.format(text=self._text(query, values))
        statement = f"SELECT id, title, authors, year, venue FROM flat.paper WHERE {where} ORDER BY {order}"
        found = self.connection.execute(
            f"{statement} LIMIT {PAGE_SIZE} OFFSET {PAGE_SIZE * (query.page - 1)}", values
        )
        return [row[0] for row in found]

    def _where(self, query, values):
        conditions = ["true"]
        if query.text:
            conditions.append(f"search @@ {self._text(query, values)}")
        for facet, wanted in chosen(query).items():
            if facet == "year":
                conditions.append("year BETWEEN %s AND %s")
                values += wanted
            else:
                conditions.append("tags && %s::int[]")
                values.append([self.source.tags.get(f"{facet}:{value}", 0) for value in wanted])
        return " AND ".join(conditions)

    def _text(self, query, values):
        parts = []
        for word in query.words:
            parts.append("(plainto_tsquery('english', %s) || plainto_tsquery('simple', %s))")
            values += [word, word]
        if query.phrase:
            parts.append("(phraseto_tsquery('english', %s) || phraseto_tsquery('simple', %s))")
            values += [query.phrase, query.phrase]
        if query.prefix:
            parts.append("to_tsquery('simple', %s)")
            values.append(f"{query.prefix}:*")
        if query.author:
            parts.append("to_tsquery('simple', %s)")
            values.append(f"{query.author.lower()}:B")
        return f"({' && '.join(parts)})"
