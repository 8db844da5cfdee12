"""Checks for data from outside: each yields one sentence for every fault, naming the place and what is right.

A check is a function of (value, place). Small checks make large ones: `record({"n": whole(1, 64)})`.
"""

import difflib
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from typing import Any

Check = Callable[[Any, str], Iterator[str]]


def text(limit: int, pattern: str = "", meaning: str = "") -> Check:
    """A string of 1 to `limit` characters (0 is fine without a pattern) that matches the whole `pattern`."""

    def check(value: Any, place: str) -> Iterator[str]:
        if not isinstance(value, str):
            yield f"{place} must be text, not {_shown(value)}"
        elif re.search("[\x00\ud800-\udfff]", value):
            yield f"{place} holds characters that cannot be stored"
        elif len(value) > limit:
            yield f"{place} has {len(value)} characters; at most {limit} are allowed"
        elif pattern and not re.fullmatch(pattern, value):
            yield f"{place} is {value[:80]!r}; it must be {meaning or pattern}"

    return check


def number(low: float = -1e300, high: float = 1e300) -> Check:
    """A finite number within [low, high]; true and false are no numbers."""

    def check(value: Any, place: str) -> Iterator[str]:
        if isinstance(value, bool) or not isinstance(value, int | float):
            yield f"{place} must be a number, not {_shown(value)}"
        elif not (low <= value <= high) or not math.isfinite(value):
            yield f"{place} must be a finite number from {low:g} to {high:g}, not {_shown(value)}"

    return check


def whole(low: int = -(2**53), high: int = 2**53) -> Check:
    """A whole number within [low, high]."""

    def check(value: Any, place: str) -> Iterator[str]:
        if isinstance(value, bool) or not isinstance(value, int):
            yield f"{place} must be a whole number, not {_shown(value)}"
        elif not low <= value <= high:
            yield f"{place} must be from {low} to {high}, not {_shown(value)}"

    return check


def flag(value: Any, place: str) -> Iterator[str]:
    """True or false."""
    if not isinstance(value, bool):
        yield f"{place} must be true or false, not {_shown(value)}"


def day(value: Any, place: str) -> Iterator[str]:
    """A calendar date, as TOML writes it: 2026-01-31."""
    if type(value) is not date:
        yield f"{place} must be a date such as 2026-01-31, without quotes"


def one_of(*choices: Any) -> Check:
    """One of the given values, of the very same type."""

    def check(value: Any, place: str) -> Iterator[str]:
        if not any(type(value) is type(choice) and value == choice for choice in choices):
            listed = ", ".join(map(str, choices))
            yield f"{place} is {str(value)[:80]!r}; it must be one of: {listed}{_nearest(value, choices)}"

    return check


def optional(inner: Check) -> Check:
    """Null, or what `inner` accepts."""

    def check(value: Any, place: str) -> Iterator[str]:
        if value is not None:
            yield from inner(value, place)

    return check


def every(inner: Check, limit: int, least: int = 0) -> Check:
    """A list of `least` to `limit` items, each accepted by `inner`."""

    def check(value: Any, place: str) -> Iterator[str]:
        if not isinstance(value, list):
            yield f"{place} must be a list, not {_shown(value)}"
        elif not least <= len(value) <= limit:
            yield f"{place} has {len(value)} items; {least} to {limit} are allowed"
        else:
            for index, item in enumerate(value, 1):
                yield from inner(item, f"{place}[{index}]")

    return check


def record(
    required: Mapping[str, Check],
    extra: Mapping[str, Check] | None = None,
    examples: Mapping[str, str] | None = None,
) -> Check:
    """An object with every `required` key, any of the `extra` keys, and no other.

    `examples` are what a missing key could look like, for the sentence about it.
    """
    known = {**required, **(extra or {})}

    def check(value: Any, place: str) -> Iterator[str]:
        if not isinstance(value, dict):
            yield f"{place or 'the document'} must be an object"
            return
        for key in sorted(required.keys() - value.keys()):
            example = (examples or {}).get(key)
            yield f"{_inside(place, key)} is missing{f'; add, for example: {example}' if example else ''}"
        for key, item in value.items():
            if key in known:
                yield from known[key](item, _inside(place, key))
            else:
                name = _inside(place, str(key)[:80])
                nearest = _nearest(key, [k for k in known if k not in value])
                yield f"{name} is not a known key{nearest or '; known are: ' + ', '.join(known)}"

    return check


def anything(depth: int = 6, width: int = 2000, characters: int = 20_000) -> Check:
    """Any JSON value of bounded depth, width and text length whose numbers are finite."""

    def check(value: Any, place: str, level: int = 0) -> Iterator[str]:
        if isinstance(value, dict | list):
            if level >= depth or len(value) > width:
                yield f"{place} is too large: at most {width} items and {depth} levels are allowed"
                return
            for key, item in value.items() if isinstance(value, dict) else enumerate(value, 1):
                yield from text(200)(str(key), f"a key in {place}")
                yield from check(item, _inside(place, str(key)[:80]), level + 1)
        elif value is not None and not isinstance(value, bool):
            yield from (text(characters) if isinstance(value, str) else number())(value, place)

    return check


def _shown(value: Any) -> str:
    """The value as a sentence can hold it; of a stranger's list or object only that it is one."""
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    return repr(value)[:40] if isinstance(value, int | float) else f"{str(value)[:40]!r}"


def _nearest(value: Any, choices: Iterable[Any]) -> str:
    """What was probably meant, to append to a sentence; empty if nothing is near."""
    if not isinstance(value, str) or len(value) > 80:
        return ""
    found = difflib.get_close_matches(value, [str(choice) for choice in choices], n=1)
    return f"; did you mean {found[0]!r}?" if found else ""


def _inside(place: str, key: str) -> str:
    return f"{place}.{key}" if place else key
