"""Looks at the rows each second, for whatever ought to be in somebody's hands and is not."""

import threading
import time

import psycopg

from config import embedded

# A run waits beside a free slot of a worker that serves, or its lease is over and nobody took it back.
FORSAKEN = """
WITH free AS (
    SELECT count(*) AS slots FROM reproduce_worker AS worker,
        jsonb_array_elements(worker.slots) WITH ORDINALITY AS held(slot, place)
    WHERE worker.orders = 'serve' AND worker.stopped IS NULL AND slot ->> 'state' <> 'blocked'
        AND worker.seen > clock_timestamp() - interval '10 seconds'
        AND NOT EXISTS (
            SELECT FROM reproduce_run AS run
            WHERE run.status = 'running' AND run.worker_id = worker.id AND run.slot = place - 1
        )
)
SELECT id FROM reproduce_run, free
WHERE (status = 'queued' AND free.slots > 0) OR (status = 'running' AND lease_until < clock_timestamp())
"""


class Watcher(threading.Thread):
    """How long each run was forsaken, at the most. While the database is away, time goes on."""

    def __init__(self, var):
        super().__init__(name="watcher", daemon=True)
        self.url, self.enough = embedded.database_url(var), threading.Event()
        self.since, self.longest = {}, {}

    def run(self):
        while not self.enough.wait(1):
            try:
                self._look()
            except psycopg.Error:
                continue

    def _look(self):
        with psycopg.connect(self.url, connect_timeout=3) as connection:
            forsaken = {pk for (pk,) in connection.execute(FORSAKEN)}
        now = time.monotonic()
        self.since = {pk: self.since.get(pk, now) for pk in forsaken}
        for pk, began in self.since.items():
            self.longest[pk] = max(now - began, self.longest.get(pk, 0))
