"""Event lines are valid and bounded, whoever writes them, and a reader that left fails nothing."""

import json
import os

import pytest

from reproduce.recipes.events import LINE_LIMIT, EventError, Events, decode, encode

METRIC = {
    "name": "speedup",
    "value": 2.0,
    "low": 1.9,
    "high": 2.1,
    "n": 30,
    "unit": "x",
    "predicted": None,
    "predicted_note": "",
    "noise": 0.01,
    "detail": {},
}


@pytest.fixture
def fifo(tmp_path):
    """A FIFO as the harness makes it, and the descriptor that reads it."""
    path = tmp_path / "events"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    yield path, reader
    os.close(reader)


def test_what_is_sent_can_be_read_back(fifo, tmp_path):
    for path in (fifo[0], tmp_path / "file"):
        events = Events(path)
        events.send("progress", fraction=0.5, step="half way")
        events.send("metric", **METRIC)
    sent = os.read(fifo[1], LINE_LIMIT)
    assert [decode(line) for line in sent.splitlines()] == [
        {"type": "progress", "fraction": 0.5, "step": "half way"},
        {"type": "metric", **METRIC},
    ]
    assert (tmp_path / "file").read_bytes() == sent


def test_a_fifo_that_nobody_reads_fails_nothing_and_holds_nothing_up(tmp_path):
    os.mkfifo(tmp_path / "events")
    events = Events(tmp_path / "events")
    assert not events.wanted
    events.send("log", text="nobody hears this")


def test_a_reader_that_left_fails_nothing(tmp_path):
    path = tmp_path / "events"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    events = Events(path)
    os.close(reader)
    assert events.wanted
    events.send("log", text="nobody hears this")
    events.send("log", text="nor this")
    assert not events.wanted


def test_a_path_that_cannot_be_written_is_the_callers_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        Events(tmp_path / "nowhere" / "events")


def test_without_a_path_events_are_checked_all_the_same():
    with pytest.raises(EventError, match="fraction must be a finite number from 0 to 1"):
        Events().send("progress", fraction=2.0, step="too far")


@pytest.mark.parametrize(
    "change",
    [
        {"value": float("nan")},
        {"value": float("inf")},
        {"value": "2.0"},
        {"value": True},
        {"n": 0},
        {"n": 1.5},
        {"noise": -0.1},
        {"detail": {"deep": [[[[[[1]]]]]]}},
        {"detail": {"wide": list(range(1000))}},
        {"detail": {"bad": float("nan")}},
        {"unit": "x" * 100},
        {"name": "not a name"},
        {"surprise": 1},
    ],
)
def test_a_wrong_metric_is_refused(change):
    with pytest.raises(EventError):
        encode({"type": "metric", **METRIC, **change})


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"not json\n",
        b"[1]\n",
        b'"progress"\n',
        b'{"type": ["log"]}\n',
        b'{"type": "exec", "text": "rm"}\n',
        b'{"type": "log"}\n',
        b'{"type": "log", "text": "\\u0000"}\n',
        b'{"type": "log", "text": "\\ud800"}\n',
        b'{"type": "progress", "fraction": NaN, "step": "x"}\n',
        b'{"type": "progress", "fraction": 1e999, "step": "x"}\n',
        b'{"type": "failure", "kind": "sabotage", "message": "x"}\n',
        b'{"type": "trace", "t": 1, "gpu": -1}\n',
        b"[" * 60_000 + b"\n",
        b'{"type": "log", "text": "' + b"x" * LINE_LIMIT + b'"}\n',
    ],
)
def test_a_hostile_line_is_refused(line):
    with pytest.raises(EventError):
        decode(line)


def test_a_line_is_never_longer_than_the_limit():
    text = "é" * (LINE_LIMIT // 2)
    with pytest.raises(EventError, match="bytes; at most 65536 are allowed"):
        encode({"type": "log", "text": text})
    assert len(encode({"type": "log", "text": text[:-100]})) <= LINE_LIMIT


def test_lines_are_plain_json():
    assert json.loads(encode({"type": "log", "text": "two\nlines"})) == {"type": "log", "text": "two\nlines"}
    assert encode({"type": "log", "text": "two\nlines"}).count(b"\n") == 1
