"""Statements that PostgreSQL parses and plans once for each connection, and not at every request.

They last as long as the connection: behind PgBouncer this needs its session mode.
"""

from weakref import WeakKeyDictionary

from django.db import connection

_known: WeakKeyDictionary = WeakKeyDictionary()  # {connection of psycopg: names of statements that it has}


class Prepared:
    """`query` has $1, $2, ... for parameters of these `types`; `name` is its own among all statements."""

    def __init__(self, name: str, types: str, query: str) -> None:
        self.name = name
        self.prepare = f"PREPARE {name}({types}) AS {query}"
        self.run = f"EXECUTE {name}({', '.join(['%s'] * (types.count(',') + 1))})"

    def rows(self, *parameters: object) -> list[tuple]:
        """All rows that it finds with these parameters."""
        with connection.cursor() as cursor:
            known = _known.setdefault(connection.connection, set())
            if self.name not in known:
                cursor.execute(self.prepare)
                known.add(self.name)
            cursor.execute(self.run, parameters)
            return cursor.fetchall()
