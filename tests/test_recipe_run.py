"""Each recipe's smoke run, as the harness starts it: every measure, every guard, one valid bundle."""

import json
import os
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

import pytest

from reproduce.recipes import bundle, spec, verifying
from reproduce.recipes.events import decode

ROOT = Path(__file__).parents[1]
SMOKED_A_DAY = 5
WITHOUT_TORCH = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "numpy", "django"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name.split(".")[0])

sys.meta_path.insert(0, Absent())
from reproduce.recipes.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def recipes(*arguments, program=("-m", "reproduce.recipes"), **options):
    command = [sys.executable, *program, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, **options)


def run_with_events(*arguments):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events"
        done = recipes("run", *arguments, "--events", path)
        return done.returncode, [decode(line) for line in path.read_bytes().splitlines(keepends=True)]


def smoked_today():
    """A few recipes, others each day, so that the suite stays short; SMOKE=all (or slugs) chooses otherwise.

    `make recipes-smoke` runs all of them.
    """
    slugs, wanted = spec.slugs(), os.environ.get("SMOKE", "")
    if wanted:
        return slugs if wanted == "all" else wanted.split()
    begin = date.today().toordinal() * SMOKED_A_DAY
    return sorted({slugs[(begin + step) % len(slugs)] for step in range(SMOKED_A_DAY)})


@pytest.mark.parametrize("slug", smoked_today())
def test_a_smoke_run_yields_every_measure_and_passes_every_guard(slug, tmp_path):
    recipe = spec.load(slug)
    status, events = run_with_events(slug, "--preset", "smoke", "--device", "cpu", "--out", tmp_path)
    assert status == 0
    found = bundle.read(tmp_path / "bundle.json")
    assert sorted(metric["name"] for metric in found["metrics"]) == sorted(m.name for m in recipe.measures)
    # Whether a shared machine was quiet meanwhile says nothing about the recipe.
    broken = [guard["name"] for guard in found["guards"] if not guard["passed"]]
    assert [name for name in broken if not name.startswith("quiet_")] == []
    assert found["recipe"] == {"slug": slug, "version": recipe.version, "digest": recipe.digest}
    assert (found["status"], found["preset"], found["device"]["kind"]) == ("done", "smoke", "cpu")
    assert found["parameters"] == recipe.parameters("smoke", {})
    assert found["command"] == bundle.command_line(slug, "smoke", found["parameters"])
    assert [check for check in verifying.examine(found) if check.passed is False] == []
    sent = [event for event in events if event["type"] == "metric"]
    assert [{key: value for key, value in event.items() if key != "type"} for event in sent] == found[
        "metrics"
    ]
    assert events[-1] == {"type": "bundle", "path": str(tmp_path / "bundle.json")}
    fractions = [event["fraction"] for event in events if event["type"] == "progress"]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert all(line["x"] for series in found["series"] for line in series["lines"])


def test_refused_parameters_are_one_failure_event_and_no_bundle(tmp_path):
    status, events = run_with_events("lora-memory", "--set", "rank=many", "--out", tmp_path / "out")
    assert status == 1
    assert events == [
        {
            "type": "failure",
            "kind": "recipe_error",
            "message": "rank: Enter a whole number instead of 'many'.",
        }
    ]
    assert not (tmp_path / "out").exists()


def test_the_full_preset_is_refused_without_a_gpu(tmp_path):
    done = recipes("run", "lora-memory", "--preset", "full", "--device", "cpu", "--out", tmp_path)
    assert (done.returncode, done.stderr) == (
        1,
        "The full preset of lora-memory needs 1 GPU; use --preset smoke on a CPU.\n",
    )


def test_a_folder_that_cannot_hold_a_bundle_is_refused_before_anything_is_measured(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "bundle.json").mkdir()
    for out, told in (
        (tmp_path / "file", "cannot be written"),
        (tmp_path, "holds a folder called bundle.json"),
    ):
        status, events = run_with_events("lora-memory", "--preset", "smoke", "--device", "cpu", "--out", out)
        assert (status, [event["type"] for event in events]) == (1, ["failure"])
        assert f"--out {out} {told}" in events[0]["message"]


def test_events_that_cannot_be_written_are_refused_before_anything_is_measured(tmp_path):
    events, out = tmp_path / "nowhere" / "events", tmp_path / "out"
    done = recipes("run", "lora-memory", "--device", "cpu", "--out", out, "--events", events)
    assert (done.returncode, done.stderr) == (
        1,
        f"--events {events} cannot be written: No such file or directory.\n",
    )


def test_an_unknown_recipe_is_refused_with_those_there_are(tmp_path):
    done = recipes("run", "no-such", "--out", tmp_path)
    assert (done.returncode, done.stderr) == (
        1,
        "There is no recipe 'no-such'; `ls` lists those there are.\n",
    )


def test_recipes_are_listed_and_checked_and_bundles_verified_without_torch_numpy_and_django():
    listed = recipes("ls", program=("-c", WITHOUT_TORCH))
    assert (listed.returncode, listed.stderr) == (0, "")
    assert [line.split()[0] for line in listed.stdout.splitlines()[2:]] == spec.slugs()
    for path in sorted((ROOT / "reproduce" / "results").glob("lora-memory-*.json")):
        assert recipes("verify", path, program=("-c", WITHOUT_TORCH)).returncode == 0
    checked = recipes("check", program=("-c", WITHOUT_TORCH))
    assert (checked.returncode, checked.stdout) == (
        0,
        f"{len(spec.slugs())} recipes checked, no fault found.\n",
    )


def test_running_without_torch_says_how_to_install_it(tmp_path):
    done = recipes("run", "lora-memory", "--out", tmp_path, program=("-c", WITHOUT_TORCH))
    assert done.returncode == 1
    assert done.stderr == (
        f"Running a recipe needs torch and numpy, and {'numpy'} is not installed here. "
        "Install them with: pip install 'torch>=2.11' 'numpy>=2' nvidia-ml-py\n"
    )


def test_check_lists_every_fault_of_a_broken_recipe(tmp_path):
    program = f"""
import sys
from pathlib import Path
from reproduce.recipes import spec
from reproduce.recipes.__main__ import main
spec.FOLDER = Path({str(tmp_path)!r})
sys.exit(main(["check"]))
"""
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "recipe.toml").write_text('slug = "broken"\ncolour = "red"\nversion = "1"\n')
    done = recipes(program=("-c", program))
    assert done.returncode == 1
    told = done.stderr.splitlines()
    for fault in ("colour is not a known key", "version must be a whole number", "paper is missing"):
        assert [line for line in told if line.startswith(f"broken/recipe.toml: {fault}")] != []


def test_shipped_results_are_valid_bundles_of_recipes_that_exist():
    for path in sorted((ROOT / "reproduce" / "results").glob("*.json")):
        found = bundle.read(path)
        assert path.name.startswith(f"{found['recipe']['slug']}-")
        recipe = spec.load(found["recipe"]["slug"])
        promised = {measure.name for measure in recipe.measures}
        if found["recipe"]["version"] == recipe.version:  # results of an earlier version stay as they are
            assert {metric["name"] for metric in found["metrics"]} == promised
        assert [path for path in ("/home/", "/root/", str(ROOT)) if path in json.dumps(found)] == []
