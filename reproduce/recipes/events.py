"""What a running recipe tells its harness: one JSON object a line, into a FIFO or a file of its own."""

import errno
import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reproduce.recipes.schema import (
    Check,
    anything,
    every,
    flag,
    number,
    one_of,
    optional,
    record,
    text,
    whole,
)

LINE_LIMIT = 64 * 1024  # bytes, line feed included

NAME = text(60, r"[a-z][a-z0-9_]*", "a lower-case name")
FINITE = number()
FAILURE_KINDS = ("out_of_memory", "recipe_error")
FAILURE = {"kind": one_of(*FAILURE_KINDS), "message": text(2000)}
GUARD = {"name": NAME, "passed": flag, "value": FINITE, "limit": FINITE, "detail": text(1000)}
MEASUREMENT = {
    "name": NAME,
    "value": FINITE,
    "low": FINITE,
    "high": FINITE,
    "n": whole(1),
    "unit": text(60),
    "predicted": optional(FINITE),
    "predicted_note": text(1000),
    "noise": optional(number(0)),
    "detail": anything(depth=5, width=200, characters=2000),
}
TRACE_POINT = {
    "t": number(0),
    "gpu": whole(0, 63),
    "memory_mb": optional(FINITE),
    "utilisation": optional(FINITE),
    "power_w": optional(FINITE),
    "temperature_c": optional(FINITE),
    "sm_clock_mhz": optional(FINITE),
}
_SHAPES: dict[str, Mapping[str, Check]] = {
    "progress": {"fraction": number(0, 1), "step": text(200)},
    "log": {"text": text(LINE_LIMIT)},
    "metric": MEASUREMENT,
    "guard": GUARD,
    "trace": TRACE_POINT,
    "failure": FAILURE,
    "bundle": {"path": text(4096)},
}
_CHECKS = {kind: record({"type": one_of(kind), **shape}) for kind, shape in _SHAPES.items()}


class EventError(ValueError):
    """An event that no harness should believe; the message says what is wrong with it."""


class Events:
    """Writes events to a FIFO or a file, or to nowhere. A reader that went away never fails the run."""

    def __init__(self, path: Path | None = None) -> None:
        """Opens `path` to append to it. Raises OSError if it cannot be written."""
        self._descriptor = None if path is None else _opened(path)
        self._lock = threading.Lock()

    @property
    def wanted(self) -> bool:
        """Whether anybody was listening when last asked."""
        return self._descriptor is not None

    def send(self, kind: str, /, **fields: Any) -> None:
        """Writes one event. Raises EventError if it breaks the contract, which is the recipe's fault."""
        line = encode({"type": kind, **fields})
        with self._lock:
            try:
                while self._descriptor is not None and line:
                    line = line[os.write(self._descriptor, line) :]
            except OSError:
                self._descriptor = None


def _opened(path: Path) -> int | None:
    """A descriptor, or None for a FIFO that nobody reads; opening one to write would wait for a reader."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK, 0o644)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return None
        raise
    os.set_blocking(descriptor, True)
    return descriptor


def encode(event: Mapping[str, Any]) -> bytes:
    """The event as one line. Raises EventError if it breaks the contract or the limit on length."""
    _refuse(event)
    line = json.dumps(event, allow_nan=False, ensure_ascii=False).encode() + b"\n"
    if len(line) > LINE_LIMIT:
        raise EventError(
            f"The {event['type']} event has {len(line)} bytes; at most {LINE_LIMIT} are allowed."
        )
    return line


def decode(line: bytes) -> dict[str, Any]:
    """One line from an untrusted child, checked. Raises EventError that says what is wrong."""
    if len(line) > LINE_LIMIT:
        raise EventError(f"The line has more than {LINE_LIMIT} bytes.")
    try:
        event = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise EventError("The line is not JSON.") from error
    _refuse(event)
    return event


def _refuse(event: Any) -> None:
    kind = event.get("type") if isinstance(event, dict) else None
    if not isinstance(kind, str) or kind not in _CHECKS:
        raise EventError(f"There is no event of the type {str(kind)[:40]!r}.")
    for fault in _CHECKS[kind](event, ""):
        raise EventError(f"The {kind} event is wrong: {fault}.")


def series_shape() -> Check:
    """A chart as a recipe hands it over: two axes, and lines of equally many points."""
    axis = record({"name": text(80), "unit": text(40), "log": flag})
    points = every(FINITE, 5000)
    shape = record(
        {
            "name": NAME,
            "title": text(200),
            "x": axis,
            "y": axis,
            "lines": every(
                record({"label": text(120), "x": points, "y": points}, {"low": points, "high": points}), 40
            ),
        }
    )

    def check(value: Any, place: str) -> Any:
        yield from (found := list(shape(value, place)))
        for line in [] if found else value["lines"]:
            if len({len(line[key]) for key in ("x", "y", "low", "high") if key in line}) != 1:
                yield f"{place}: the line {line['label']!r} has lists of different lengths"

    return check
