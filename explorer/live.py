"""Whoever watches a run is told what is new as it comes, and a run is read once however many watch it.

A watched run has a room, which looks at the rows when the database tells of news, and every two seconds
untold. A watcher is a place in the room's log: one who is slow misses states, and never a byte of the log.
"""

import asyncio
import contextvars
import json
import logging
import random
import re
from dataclasses import dataclass

import psycopg
from asgiref.sync import SyncToAsync
from django.db import InterfaceError, OperationalError, connection
from django.template.loader import render_to_string

from explorer.sparkline import sparklines
from explorer.watching import run_state
from reproduce import journal
from reproduce.lifecycle import NEWS_CHANNEL
from reproduce.models import Run

LOOK_AGAIN_S = 2  # looked at this often without being told: a pooler in between may swallow NOTIFY
REST_S = 0.25  # between two looks, so a run is read and drawn four times a second at most
QUIET_S = 15  # a stream that has nothing to say says so this often, or a proxy would close it
STREAM_S = 600  # a stream ends by then, and its browser comes back
MOST_STREAMS = 500  # a process
UNSEEN = tuple(set(Run.HEAVY) - {"trace"})
LINE_ENDS = re.compile(r"\r\n|\r|\n")
GREETING = b"retry: 2000\n\n"
NOTHING_NEW = b":\n\n"

logger = logging.getLogger(__name__)


def event(name, data, position=""):
    """One server-sent event. `position` is what a browser that comes back will say that it has."""
    lines = [f"event: {name}", *(f"data: {line}" for line in LINE_ENDS.split(data))]
    lines += [f"id: {position}"] if position else []
    return "\n".join([*lines, "\n"]).encode()


END = event("end", "The run has ended.")


@dataclass
class Picture:
    """What there is to see of a run at one moment, ready to be sent. `log` is all of its latest attempt."""

    attempt: int
    log: bytes
    state: bytes
    traces: bytes
    over: bool
    _said: tuple[int, bytes] = (-1, b"")

    def log_from(self, attempt, offset):
        """The event that brings a watcher who stands there up to date; nothing if they are."""
        if attempt != self.attempt or offset > len(self.log):
            return self._log_event(0)
        return self._log_event(offset) if offset < len(self.log) else b""

    def _log_event(self, offset):
        """Nearly all watchers stand at the same place, and get the same bytes."""
        if self._said[0] != offset:
            text = self.log[offset:].decode(errors="replace")
            news = {"attempt": self.attempt, "offset": offset, "text": text}
            position = f"{self.attempt}:{len(self.log)}"
            self._said = offset, event("log", json.dumps(news, ensure_ascii=False), position)
        return self._said[1]


def look(run_id, before=None):
    """Read and draw a run, in a thread of its own; of its log only what `before` lacks."""
    try:
        run = Run.objects.select_related("worker").defer(*UNSEEN).get(pk=run_id)
        log = before.log if before and before.attempt == run.attempt else b""
        log += journal.log_after(run, len(log))[0].encode()
        context = run_state(run) | {"sparklines": sparklines(journal.trace_of(run))}
        state = event("state", render_to_string("runs/_live.html", context))
        traces = event("trace", render_to_string("runs/_traces.html", context))
        return Picture(run.attempt, log, state, traces, run.is_final)
    finally:
        connection.close()  # back to the pool: the threads that look are anybody's


class Room:
    """A run that somebody watches, and the latest picture of it."""

    def __init__(self, run_id):
        self.run_id, self.watchers = run_id, 0
        self.picture, self.news, self.changed = None, asyncio.Event(), asyncio.Event()

    async def keep(self):
        """Look again and again, and wake the watchers. While the database is away they hear nothing."""
        while not (self.picture and self.picture.over):
            self.news.clear()
            try:
                self.picture = await asyncio.to_thread(look, self.run_id, self.picture)
            except (OperationalError, InterfaceError):
                logger.info("run %s: the database does not answer; its watchers wait", self.run_id)
            except Exception:  # a room that ended would leave its watchers waiting
                logger.exception("run %s could not be looked at", self.run_id)
            woken, self.changed = self.changed, asyncio.Event()
            woken.set()
            await asyncio.sleep(REST_S)
            await within(LOOK_AGAIN_S, self.news)

    async def tell(self, attempt, offset):
        """Everything new to a watcher whose log reaches that place, until the run ends."""
        state = traces = b""
        while True:
            changed, now = self.changed, self.picture
            if now:
                news = now.log_from(attempt, offset)
                news += now.state if now.state != state else b""
                news += now.traces if now.traces != traces else b""
                attempt, offset, state, traces = now.attempt, len(now.log), now.state, now.traces
                if news or now.over:
                    yield news + (END if now.over else b"")
                if now.over:
                    return
            if not await within(QUIET_S, changed):
                yield NOTHING_NEW


class Hub:
    """The rooms of this process, and the one connection on which the database tells of news."""

    def __init__(self):
        self.rooms, self._listener = {}, None

    @property
    def is_full(self):
        return sum(room.watchers for room in self.rooms.values()) >= MOST_STREAMS

    def enter(self, run_id):
        """The run's room, with one watcher more: the first has it kept, and begins to listen."""
        name = str(run_id)
        if name not in self.rooms:
            self.rooms[name] = Room(run_id)
            self.rooms[name].task = begin(self.rooms[name].keep())
        if self._listener is None:
            self._listener = begin(self._listen())
        self.rooms[name].watchers += 1
        return self.rooms[name]

    def leave(self, room):
        """One watcher less: nothing is done for a run that nobody watches."""
        room.watchers -= 1
        if not room.watchers:
            room.task.cancel()
            del self.rooms[str(room.run_id)]
        if not self.rooms:
            self._listener.cancel()
            self._listener = None

    async def _listen(self):
        """Pass on what the database tells. When it is lost, or cannot tell, the rooms look by themselves."""
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(**address(), autocommit=True) as told:
                    await told.execute(f"LISTEN {NEWS_CHANNEL}")
                    async for news in told.notifies():
                        if room := self.rooms.get(news.payload):
                            room.news.set()
            except (psycopg.Error, OSError) as error:
                logger.info("no news from the database: %s", error)
            await asyncio.sleep(LOOK_AGAIN_S)


hub = Hub()


class Stream:
    """What one watcher is sent. Django closes it once they are gone, however that came about."""

    def __init__(self, run_id, attempt, offset):
        self._run_id, self._place, self._room = run_id, (attempt, offset), None
        self._loop = asyncio.get_running_loop()

    async def __aiter__(self):
        release_thread()
        self._room = hub.enter(self._run_id)
        # Cancelled from outside, for who reads nothing more is never asked whether it is time to end.
        limit = STREAM_S * random.uniform(0.8, 1)
        self._limit = self._loop.call_later(limit, asyncio.current_task().cancel)
        yield GREETING
        async for news in self._room.tell(*self._place):
            yield news

    def close(self):
        self._loop.call_soon_threadsafe(self._leave)

    def _leave(self):
        room, self._room = self._room, None
        if room:
            self._limit.cancel()
            hub.leave(room)


def address():
    """Where the database is, as psycopg wants to know it."""
    ours = connection.get_connection_params()
    return {name: value for name, value in ours.items() if name not in {"context", "cursor_factory"}}


def begin(coroutine):
    """A task that outlives the request in which it begins, and so knows nothing of it."""
    return asyncio.get_running_loop().create_task(coroutine, context=contextvars.Context())


async def within(seconds, happening):
    """Whether an asyncio.Event is set within that time."""
    try:
        await asyncio.wait_for(happening.wait(), seconds)
    except TimeoutError:
        return False
    return True


def release_thread():
    """End the thread that Django keeps for the synchronous parts of this request: a stream has none left."""
    context = SyncToAsync.thread_sensitive_context.get(None)
    executor = SyncToAsync.context_to_thread_executor.pop(context, None) if context else None
    if executor:
        executor.shutdown(wait=False)
