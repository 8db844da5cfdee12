"""A bundle survives the round trip, and a hostile one is refused with a sentence."""

import base64
import gzip
import hashlib
import json

import pytest

from reproduce.recipes import bundle

SAMPLES = {"timing": {"standard": [2.0, 2.1, 1.9], "fused": [1.0, 1.1, 0.9]}}


def make_bundle(**over):
    return {
        "schema": 1,
        "recipe": {"slug": "sorted-things", "version": 1, "digest": "0" * 64},
        "preset": "full",
        "parameters": {"size": 8, "lengths": [1, 2]},
        "device": {"kind": "cuda", "name": "Imagined GPU", "count": 1},
        "started": "2026-01-31T12:00:00.000+00:00",
        "finished": "2026-01-31T12:01:00Z",
        "status": "done",
        "failure": None,
        "metrics": [make_metric()],
        "guards": [{"name": "same", "passed": True, "value": 0.0, "limit": 0.1, "detail": "The same."}],
        "series": [make_series()],
        "trace": [],
        "environment": {"code": {"commit": None}},
        "gpu_seconds": 60.0,
        "energy_j": None,
        "log": "a line",
    } | over


def make_metric(**over):
    return {
        "name": "speedup",
        "value": 2.0,
        "low": 1.9,
        "high": 2.1,
        "n": 3,
        "unit": "x",
        "predicted": 2.5,
        "predicted_note": "By bandwidth.",
        "noise": 0.01,
        "detail": {"ms": {"standard": 2.0}},
    } | over


def make_series(**line):
    axis = {"name": "Length", "unit": "tokens", "log": True}
    lines = [{"label": "fused", "x": [1, 2], "y": [1.0, 2.0], "low": [0.9, 1.9], "high": [1.1, 2.1]} | line]
    return {"name": "time", "title": "Time", "x": axis, "y": axis, "lines": lines}


def packed(raw, **over):
    data = base64.b64encode(gzip.compress(raw)).decode()
    return {"encoding": "gzip+base64", "sha256": hashlib.sha256(raw).hexdigest(), "data": data} | over


def written(tmp_path, **over):
    bundle.write(tmp_path / "bundle.json", make_bundle(**over), SAMPLES)
    return tmp_path / "bundle.json"


def offered(tmp_path, **over):
    """As a stranger might send it: changed, without command and seal, which would give it away."""
    data = json.loads(written(tmp_path).read_text()) | over
    return json.dumps(
        {key: data[key] for key in data if key not in {"command", "seal"} - over.keys()}
    ).encode()


def test_the_round_trip_keeps_everything(tmp_path):
    found = bundle.read(written(tmp_path))
    added = ("samples", "command", "seal")
    assert {key: value for key, value in found.items() if key not in added} == make_bundle()
    assert bundle.samples(found) == SAMPLES
    assert bundle.read(written(tmp_path).read_bytes()) == found
    assert [path.name for path in tmp_path.iterdir()] == ["bundle.json"]


def test_a_failed_run_says_how_it_failed(tmp_path):
    failure = {"kind": "out_of_memory", "message": "Too large."}
    assert bundle.read(written(tmp_path, status="failed", failure=failure))["failure"] == failure


def test_a_bundle_names_the_command_that_runs_it_again(tmp_path):
    assert bundle.read(written(tmp_path))["command"] == (
        "python -m reproduce.recipes run sorted-things --preset full "
        '--params \'{"size": 8, "lengths": [1, 2]}\' --out results'
    )


def test_the_seal_holds_however_the_file_is_laid_out_and_breaks_with_any_change(tmp_path):
    data = json.loads(written(tmp_path).read_text())
    turned = {key: data[key] for key in reversed(data)}
    assert bundle.read(json.dumps(turned, indent=7).encode()) == data
    for change in ({"energy_j": 1.0}, {"log": "another line"}, {"guards": []}, {"seal": "0" * 64}):
        with pytest.raises(bundle.BundleError, match="it was changed after it was sealed"):
            bundle.read(json.dumps(data | change).encode())


@pytest.mark.parametrize("command", ["rm -rf ~", "", "python -m reproduce.recipes run sorted-things; true"])
def test_a_command_that_is_not_the_bundles_own_is_refused(tmp_path, command):
    data = json.loads(written(tmp_path).read_text()) | {"command": command}
    with pytest.raises(bundle.BundleError, match="its command is not the one"):
        bundle.read(json.dumps(data | {"seal": bundle.seal(data)}).encode())


def test_a_bundle_from_before_seals_is_read(tmp_path):
    found = bundle.read(offered(tmp_path))
    assert (found.keys() & {"command", "seal"}, found["metrics"]) == (set(), [make_metric()])


def test_only_the_end_of_a_long_log_is_kept(tmp_path):
    kept = bundle.read(written(tmp_path, log="x" * bundle.LOG_LIMIT + "the end"))["log"]
    assert (len(kept), kept[-7:]) == (bundle.LOG_LIMIT, "the end")


def test_a_wrong_bundle_is_not_even_written(tmp_path):
    with pytest.raises(bundle.BundleError, match="value must be a finite number"):
        written(tmp_path, metrics=[make_metric(value=float("inf"))])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("over", "fault"),
    [
        ({"schema": 2}, "schema is '2'; it must be one of: 1"),
        ({"schema": True}, "schema is 'True'; it must be one of: 1"),
        ({"extra": 1}, "extra is not a known key"),
        ({"preset": "huge"}, "preset is 'huge'; it must be one of: smoke, full"),
        ({"recipe": {"slug": "../up", "version": 1, "digest": "0" * 64}}, "recipe.slug is '../up'"),
        ({"recipe": "sorted-things"}, "recipe must be an object"),
        ({"parameters": []}, "parameters must be an object"),
        ({"parameters": {"deep": [[[1]]]}}, "too large"),
        ({"device": {"kind": "abacus", "name": "x", "count": 1}}, "device.kind is 'abacus'"),
        ({"started": "yesterday"}, "started is 'yesterday'"),
        ({"started": "2026-13-45T99:00:00Z"}, "2026-13-45T99:00:00Z is no time"),
        ({"finished": "2020-01-01T00:00:00Z"}, "it finished before it started"),
        ({"status": "failed"}, "says how it failed"),
        ({"metrics": {}}, "metrics must be a list"),
        ({"metrics": [make_metric()] * 201}, "metrics has 201 items"),
        ({"metrics": [make_metric(value="fast")]}, r"metrics\[1\].value must be a number"),
        ({"metrics": [make_metric(value=True)]}, r"metrics\[1\].value must be a number"),
        ({"metrics": [make_metric(value=9.0)]}, "speedup lies outside its own interval"),
        ({"metrics": [make_metric(value=10**400)]}, "must be a finite number"),
        ({"metrics": [make_metric(unit="<" * 500)]}, r"metrics\[1\].unit has 500 characters"),
        ({"guards": [{"name": "same"}]}, r"guards\[1\].detail is missing"),
        ({"series": [make_series(y=[1.0])]}, "lists of different lengths"),
        ({"series": [make_series(x=list(range(5001)))]}, "5001 items"),
        ({"trace": [{"t": -1, "gpu": 0}]}, r"trace\[1\]"),
        ({"environment": "linux"}, "environment must be an object"),
        ({"environment": {"a": {"b": {"c": {"d": {"e": {"f": {"g": 1}}}}}}}}, "too large"),
        ({"environment": {"note": "\x00"}}, "characters that cannot be stored"),
        ({"gpu_seconds": -1}, "gpu_seconds must be a finite number"),
        ({"energy_j": "many"}, "energy_j must be a number"),
        ({"log": ["x"]}, "log must be text"),
    ],
)
def test_a_hostile_field_is_refused(tmp_path, over, fault):
    with pytest.raises(bundle.BundleError, match=fault):
        bundle.read(offered(tmp_path, **over))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_is_not_finite_is_refused(tmp_path, number):
    raw = offered(tmp_path).replace(b'"gpu_seconds": 60.0', f'"gpu_seconds": {number}'.encode())
    with pytest.raises(bundle.BundleError, match="finite number"):
        bundle.read(raw)


@pytest.mark.parametrize(
    "raw", [b"", b"PK\x03\x04", b"[]", b"null", b"\xff\xfe", b"[" * 200_000, b"1" * 5000]
)
def test_what_is_no_bundle_is_refused(raw):
    with pytest.raises(bundle.BundleError):
        bundle.read(raw)


def test_a_key_that_is_named_twice_is_refused(tmp_path):
    raw = offered(tmp_path).replace(b'"preset": "full"', b'"preset": "smoke", "preset": "full"')
    with pytest.raises(bundle.BundleError, match="names a key twice"):
        bundle.read(raw)


def test_a_huge_file_is_refused_before_it_is_parsed(tmp_path):
    path = tmp_path / "huge.json"
    with path.open("wb") as file:
        file.truncate(bundle.SIZE_LIMIT + 1)
    with pytest.raises(bundle.BundleError, match="larger than 16 MiB"):
        bundle.read(path)


def test_a_missing_file_is_an_error_of_the_reader(tmp_path):
    with pytest.raises(bundle.BundleError, match="cannot be opened: No such file"):
        bundle.read(tmp_path / "nowhere.json")


@pytest.mark.parametrize(
    ("samples", "fault"),
    [
        (packed(b"{}", data="!!!!"), "samples.data is"),
        (packed(b"{}", data="AAAA"), "cannot be decompressed"),
        (packed(b"{}", data=packed(b"{}")["data"][:16]), "cut short|cannot be decompressed"),
        (packed(b"{}", sha256="0" * 64), "do not match their checksum"),
        (packed(b"{}", encoding="zip"), "samples.encoding is 'zip'"),
        (packed(b"\x00" * (bundle.SAMPLES_LIMIT + 1)), "cut short or too large"),
    ],
)
def test_hostile_samples_are_refused(tmp_path, samples, fault):
    with pytest.raises(bundle.BundleError, match=fault):
        bundle.read(offered(tmp_path, samples=samples))
