"""A bundle is checked by itself and against this checkout's recipe; what was tampered with is named."""

import json
import shutil
from pathlib import Path

import pytest

from reproduce.recipes import bundle, recount, rerunning, spec, verifying
from reproduce.recipes.__main__ import main

RESULTS = Path(__file__).parents[1] / "reproduce" / "results"
SLUG = "flashattention-io"


@pytest.fixture
def shipped():
    """A bundle measured on a real GPU, as it ships."""
    return bundle.read(RESULTS / f"{SLUG}-h200-20261123-1.json")


def offered(tmp_path, data, **over):
    """A bundle as its maker might send it: what was changed is sealed anew."""
    data = {**data, **over}
    path = tmp_path / "offered.json"
    path.write_text(json.dumps({**data, "seal": bundle.seal(data)}))
    return path


def faults(path, capsys):
    """The faults that `verify` prints, and its exit status."""
    status = main(["verify", str(path)])
    out, err = capsys.readouterr()
    return status, [line for line in out.splitlines() if line.startswith("FAULT")], err


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_shipped_results_pass_or_are_of_earlier_code_and_only_that(path, capsys):
    measured = bundle.read(path)["recipe"]
    status = main(["verify", str(path)])
    lines = capsys.readouterr().out.splitlines()
    faults = [line.split(":")[0] for line in lines if line.startswith("FAULT")]
    if measured["digest"] != spec.load(measured["slug"]).digest:
        assert faults == ["FAULT  recipe"]
        return
    assert (status, faults) == (0, [])
    seal = (
        "none, it is from before seals"
        if "20261123" in path.stem
        else "nothing was changed since it was written"
    )
    assert lines[1] == f"ok     seal: {seal}."
    assert lines[3:5] == [
        "ok     parameters: full, allowed.",
        "ok     measures: names and units as promised.",
    ]


def test_timings_follow_from_their_samples_and_counts_do_not(shipped, tmp_path, capsys):
    assert main(["verify", str(RESULTS / f"{SLUG}-h200-20261123-1.json")]) == 0
    lines = capsys.readouterr().out.splitlines()
    again = [line.split()[1] for line in lines if " again, " in line]
    counted = [line.split()[1] for line in lines if "no ratio of two medians" in line]
    assert len(again) >= 3 and all("speedup" in name for name in again)
    assert len(counted) >= 3 and not any("speedup" in name for name in counted)


def test_a_measure_that_its_samples_do_not_give_is_a_fault(shipped, tmp_path, capsys):
    metrics = [dict(metric) for metric in shipped["metrics"]]
    metrics[0] |= {"value": 4.0, "high": 4.1}
    assert faults(offered(tmp_path, shipped, metrics=metrics), capsys) == (
        1,
        ["FAULT  samples: speedup is 4, but standard / flash is 3.03478."],
        "",
    )


def test_medians_that_the_samples_do_not_have_are_a_fault(shipped, tmp_path, capsys):
    metrics = json.loads(json.dumps(shipped["metrics"]))
    metrics[-1]["detail"]["arms"]["flash"]["median_ms"] /= 2
    assert faults(offered(tmp_path, shipped, metrics=metrics), capsys) == (
        1,
        ["FAULT  samples: training_speedup stands beside medians that the raw samples do not have."],
        "",
    )


def test_a_bundle_of_another_version_says_which(shipped, tmp_path, capsys):
    recipe = {**shipped["recipe"], "version": 1, "digest": "0" * 64}
    status, found, _ = faults(offered(tmp_path, shipped, recipe=recipe), capsys)
    assert (status, len(found)) == (1, 1)
    here = spec.load(SLUG)
    assert found[0] == (
        "FAULT  recipe: it was measured with version 1 (000000000000), this checkout has "
        f"version {here.version} ({here.digest[:12]}): other code than here made its numbers."
    )


def test_measures_parameters_and_units_that_the_recipe_does_not_know_are_faults(shipped, tmp_path, capsys):
    metrics = [{**shipped["metrics"][0], "unit": "s"}, *shipped["metrics"][2:]]
    parameters = {**shipped["parameters"], "batch": -1}
    path = offered(tmp_path, shipped, metrics=metrics, parameters=parameters)
    assert faults(path, capsys) == (
        1,
        [
            "FAULT  parameters: batch: Enter a whole number from 1 to 256 instead of -1.",
            "FAULT  measures: it reports speedup in 's', which the recipe does not promise; "
            "it lacks speedup_lean.",
        ],
        "",
    )


def test_a_recipe_that_is_not_here_is_a_fault(shipped, tmp_path, capsys):
    recipe = {**shipped["recipe"], "slug": "no-such"}
    status, found, _ = faults(offered(tmp_path, shipped, recipe=recipe), capsys)
    assert status == 1
    assert found == ["FAULT  recipe: There is no recipe 'no-such'; `ls` lists those there are."]


def test_what_is_no_bundle_is_refused_with_its_fault(tmp_path, capsys):
    (tmp_path / "bundle.json").write_text("{}")
    status, found, said = faults(tmp_path / "bundle.json", capsys)
    assert (status, found, said) == (1, [], "The bundle is refused: device is missing.\n")


@pytest.mark.parametrize(
    "samples",
    [
        [],
        {"a": []},
        {"a": {"b": [], "c": "x", "d": [[1.0]], "e": [True], "f": [10**400], "g": [None]}},
    ],
)
def test_samples_of_any_shape_are_read_without_a_fault_of_ours(samples):
    assert recount.medians(samples) == {}


def test_a_median_of_nothing_is_the_origin_of_nothing():
    found = recount.medians({"a": {"slow": [2.0, 4.0], "none": [0.0]}})
    assert found == {"a": {"slow": 3.0, "none": 0.0}}
    assert recount.origin({"value": 3.0}, found) is None
    assert recount.origin({"value": 0.0}, found) == "none / slow of a"


def test_a_terminal_is_shown_no_control_characters(shipped, tmp_path, capsys):
    packed = bundle._packed({"\x1b[2Jtimes": {"slow\x07": [2.0], "fast": [1.0]}})
    assert main(["verify", str(offered(tmp_path, shipped, samples=packed))]) == 1
    out = capsys.readouterr().out
    assert ("?[2Jtimes" in out, "slow?" in out) == (True, True)
    assert [character for character in out if not character.isprintable() and character != "\n"] == []


def test_a_bundle_is_not_run_again_over_itself_nor_by_another_recipe(shipped, tmp_path, capsys):
    other = {**shipped["recipe"], "version": 1, "digest": "0" * 64}
    path = offered(tmp_path, shipped, recipe=other)
    assert main(["rerun", str(path), "--out", str(tmp_path / "new")]) == 1
    said = capsys.readouterr().err
    assert said.startswith("It was measured with version 1 (000000000000), this checkout has version 2")
    assert said.endswith("Say --anyway to compare all the same.\n")
    shutil.copy(path, tmp_path / "bundle.json")
    assert main(["rerun", str(tmp_path / "bundle.json"), "--out", str(tmp_path)]) == 1
    assert (
        capsys.readouterr().err == "The new bundle would overwrite the old one; give --out another folder.\n"
    )


def test_a_forged_bundle_is_not_run_again(shipped, tmp_path, capsys):
    path = offered(tmp_path, shipped, metrics=shipped["metrics"][1:])
    assert main(["rerun", str(path), "--out", str(tmp_path / "new")]) == 1
    assert capsys.readouterr().err == "FAULT  measures: it lacks speedup.\n"


def test_then_and_now_are_put_side_by_side(shipped):
    now = {
        **shipped,
        "device": {"kind": "cuda", "name": "Imagined GPU", "count": 1},
        "started": "2027-01-31T12:00:00Z",
        "metrics": [{**shipped["metrics"][0], "value": 3.5, "low": 3.4, "high": 3.6}, shipped["metrics"][1]],
    }
    lines = rerunning.comparison(spec.load(SLUG), shipped, now).splitlines()
    assert lines[:2] == [
        "Then: 1 x NVIDIA H200, 2026-11-23, version 2",
        "Now:  1 x Imagined GPU, 2027-01-31, version 2",
    ]
    assert [line.split("  ")[-1] for line in lines[-2:]] == ["do not meet", "meet"]
    assert "3.5    3.4 to 3.6" in lines[-2]


def test_a_failed_run_promises_nothing(shipped):
    failure = {"kind": "out_of_memory", "message": "Too large."}
    checks = verifying.examine({**shipped, "status": "failed", "failure": failure, "metrics": []})
    assert [check.name for check in checks if not check.passed] == []
