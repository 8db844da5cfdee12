"""The bundle: all that one run measured, in one JSON file that a stranger may upload.

Reading trusts nothing: sizes, depth, types, keys and finite numbers are checked before a value is used.
"""

import base64
import binascii
import gzip
import hashlib
import json
import shlex
import zlib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from reproduce.recipes.events import FAILURE, GUARD, MEASUREMENT, TRACE_POINT, series_shape
from reproduce.recipes.schema import anything, every, number, one_of, optional, record, text, whole
from reproduce.recipes.spec import PRESETS, SLUG

SIZE_LIMIT = 16 * 1024 * 1024  # bytes of the file
SAMPLES_LIMIT = 64 * 1024 * 1024  # bytes of the raw samples once decompressed
SAMPLES_MOST = 1_000_000
LOG_LIMIT = 64 * 1024  # characters kept, the newest
_SHA256 = text(64, r"[0-9a-f]{64}", "64 hexadecimal digits")
_TIME = text(
    40, r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)", "a UTC time such as 2026-01-31T12:00:00Z"
)

_BUNDLE = record(
    {
        "schema": one_of(1),
        "recipe": record(
            {"slug": text(60, SLUG, "a recipe's slug"), "version": whole(1, 10_000), "digest": _SHA256}
        ),
        "preset": one_of(*PRESETS),
        "parameters": anything(depth=2, width=1000, characters=200),
        "device": record({"kind": one_of("cuda", "cpu"), "name": text(120), "count": whole(1, 64)}),
        "started": _TIME,
        "finished": _TIME,
        "status": one_of("done", "failed"),
        "failure": optional(record(FAILURE)),
        "metrics": every(record(MEASUREMENT), 200),
        "guards": every(record(GUARD), 200),
        "series": every(series_shape(), 50),
        "trace": every(record(TRACE_POINT), 20_000),
        "environment": anything(depth=6, width=5000, characters=20_000),
        "gpu_seconds": number(0),
        "energy_j": optional(number(0)),
        "log": text(LOG_LIMIT),
        "samples": record(
            {
                "encoding": one_of("gzip+base64"),
                "sha256": _SHA256,
                "data": text(SIZE_LIMIT, r"[A-Za-z0-9+/=]*"),
            }
        ),
    },
    {"command": text(LOG_LIMIT), "seal": _SHA256},  # always written; the oldest bundles have neither
)


class BundleError(ValueError):
    """A bundle that must not be believed; the message is one sentence for whoever offered it."""


def read(source: Path | bytes) -> dict[str, Any]:
    """The bundle in a file or in bytes, checked. Raises BundleError with one sentence."""
    raw = source if isinstance(source, bytes) else _content(source)
    if len(raw) > SIZE_LIMIT:
        raise BundleError(f"The bundle is larger than {SIZE_LIMIT // 2**20} MiB.")
    try:
        data = json.loads(raw, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except BundleError:
        raise
    except (ValueError, RecursionError) as error:
        raise BundleError("The bundle is not valid JSON.") from error
    _refuse(data)
    return data


def write(path: Path, data: Mapping[str, Any], samples: Mapping[str, Any]) -> dict[str, Any]:
    """Writes the bundle with its raw samples to `path`, whole or not at all, and returns it.

    Raises BundleError if the data would not pass `read`.
    """
    whole_bundle = {**data, "log": data["log"][-LOG_LIMIT:], "samples": _packed(samples)}
    whole_bundle["command"] = command_line(data["recipe"]["slug"], data["preset"], data["parameters"])
    whole_bundle["seal"] = seal(whole_bundle)
    _refuse(whole_bundle)
    raw = json.dumps(whole_bundle, allow_nan=False, ensure_ascii=False, indent=1).encode()
    if len(raw) > SIZE_LIMIT:
        raise BundleError(f"The bundle would be larger than {SIZE_LIMIT // 2**20} MiB.")
    partial = path.with_suffix(".partial")
    partial.write_bytes(raw)
    partial.replace(path)
    return whole_bundle


def samples(data: Mapping[str, Any]) -> dict[str, Any]:
    """The raw samples of a bundle that `read` returned: comparison -> arm -> values in time order.

    Raises BundleError if they are no JSON, or so many that reading them could fill the memory.
    """
    raw = _unpacked(data["samples"])
    if raw.count(b",") > SAMPLES_MOST:
        raise BundleError(f"The bundle is refused: it has more than {SAMPLES_MOST} raw samples.")
    try:
        return json.loads(raw, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except BundleError:
        raise
    except (ValueError, RecursionError) as error:
        raise BundleError("The bundle is refused: its raw samples are no valid JSON.") from error


def command_line(slug: str, preset: str, parameters: Mapping[str, Any]) -> str:
    """The line that anyone may type to run it again on a machine of their own."""
    asked = ["run", slug, "--preset", preset, "--params", json.dumps(parameters)]
    return shlex.join(["python", "-m", "reproduce.recipes", *asked, "--out", "results"])


def seal(data: Mapping[str, Any]) -> str:
    """The digest of everything else in a bundle: it shows damage and edits, but anyone can seal anew."""
    return digest({key: value for key, value in data.items() if key != "seal"})


def digest(data: Any) -> str:
    """SHA-256 of JSON data, whatever the order of its keys and the spaces it was written with."""
    return hashlib.sha256(json.dumps(data, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(SIZE_LIMIT + 1)
    except OSError as error:
        raise BundleError(f"The bundle cannot be opened: {error.strerror}.") from error


def _refuse(data: Any) -> None:
    for fault in _BUNDLE(data, ""):
        raise BundleError(f"The bundle is refused: {fault}.")
    for key in ("parameters", "environment"):
        if not isinstance(data[key], dict):
            raise BundleError(f"The bundle is refused: {key} must be an object.")
    if (data["status"] == "failed") != (data["failure"] is not None):
        raise BundleError("The bundle is refused: a failed run, and only that, says how it failed.")
    if _moment(data["finished"]) < _moment(data["started"]):
        raise BundleError("The bundle is refused: it finished before it started.")
    for metric in data["metrics"]:
        if not metric["low"] <= metric["value"] <= metric["high"]:
            raise BundleError(f"The bundle is refused: {metric['name']} lies outside its own interval.")
    _unpacked(data["samples"])
    _refuse_foreign(data)


def _refuse_foreign(data: Mapping[str, Any]) -> None:
    """A command or a seal that does not belong to the rest."""
    # People type the command into a shell: it is ours, letter by letter, or it is refused.
    asked = (data["recipe"]["slug"], data["preset"], data["parameters"])
    if data.get("command", command_line(*asked)) != command_line(*asked):
        raise BundleError("The bundle is refused: its command is not the one that its own request makes.")
    if "seal" in data and data["seal"] != seal(data):
        raise BundleError("The bundle is refused: it was changed after it was sealed.")


def _moment(written: str) -> datetime:
    try:
        return datetime.fromisoformat(written)
    except ValueError as error:
        raise BundleError(f"The bundle is refused: {written} is no time.") from error


def _packed(samples: Mapping[str, Any]) -> dict[str, str]:
    raw = json.dumps(samples, allow_nan=False).encode()
    packed = base64.b64encode(gzip.compress(raw, mtime=0)).decode()
    return {"encoding": "gzip+base64", "sha256": hashlib.sha256(raw).hexdigest(), "data": packed}


def _unpacked(samples: Mapping[str, str]) -> bytes:
    """The samples' JSON text; stops decompressing at the limit, so a bomb costs little."""
    try:
        engine = zlib.decompressobj(wbits=31)
        raw = engine.decompress(base64.b64decode(samples["data"], validate=True), SAMPLES_LIMIT)
    except (binascii.Error, zlib.error) as error:
        raise BundleError("The bundle is refused: its raw samples cannot be decompressed.") from error
    if not engine.eof or engine.unused_data:
        raise BundleError("The bundle is refused: its raw samples are cut short or too large.")
    if hashlib.sha256(raw).hexdigest() != samples["sha256"]:
        raise BundleError("The bundle is refused: its raw samples do not match their checksum.")
    return raw


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) != len(pairs):
        raise BundleError("The bundle is refused: one of its objects names a key twice.")
    return data


def _refuse_constant(name: str) -> None:
    raise BundleError(f"The bundle is refused: {name} is no finite number.")
