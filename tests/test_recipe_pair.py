"""A recipe for two GPUs, here two processes on the CPU: one bundle of both, and one failure of both."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from reproduce.recipes import bundle
from reproduce.recipes.events import decode

ROOT = Path(__file__).parents[1]
SLUG = "toy-pair"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of this checkout's recipes with one more, for two processes."""
    copy = tmp_path_factory.mktemp("checkout")
    unneeded = shutil.ignore_patterns("__pycache__", "corpus", "migrations", "results")
    for room in ("papers", "reproduce"):
        shutil.copytree(ROOT / room, copy / room, ignore=unneeded)
    shutil.copytree(ROOT / "tests" / "data" / SLUG, copy / "reproduce" / "recipes" / SLUG)
    return copy


@pytest.fixture(scope="module")
def measured(checkout):
    """The folder of a run that ended well."""
    done = recipes(checkout, "run", SLUG, "--out", "measured", "--events", "measured.jsonl")
    assert done.returncode == 0, done.stderr
    return checkout / "measured"


def recipes(checkout, *arguments):
    command = [sys.executable, "-m", "reproduce.recipes", *arguments]
    return subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False, timeout=120)


def events(path):
    return [decode(line) for line in path.read_bytes().splitlines(keepends=True)]


def test_two_processes_measure_together_and_the_first_writes_one_bundle(measured):
    found = bundle.read(measured / "bundle.json")
    assert (found["status"], found["device"]["kind"], found["device"]["count"]) == ("done", "cpu", 2)
    assert [(metric["name"], metric["value"]) for metric in found["metrics"]] == [("total", 3.0)]
    measurement = found["environment"]["measurement"]
    assert (measurement["processes"], len(measurement["peaks"])) == (2, 2)
    assert measurement["comparisons"]["probe"]["all_reduce"] > 0
    assert "TORCHELASTIC_RUN_ID" not in found["environment"]["code"]["variables"]
    told = events(measured.with_suffix(".jsonl"))
    assert [event["type"] for event in told] == ["progress", "guard", "metric", "progress", "bundle"]


def test_what_was_measured_is_measured_again_and_compared(checkout, measured):
    done = recipes(checkout, "rerun", "measured/bundle.json", "--out", "again")
    assert done.returncode == 0, done.stderr
    row = done.stdout.splitlines()[-1]
    assert row.split() == [
        "Sum",
        "over",
        "the",
        "processes",
        "x",
        "3",
        "3",
        "to",
        "3",
        "3",
        "3",
        "to",
        "3",
        "meet",
    ]
    again, before = (bundle.read(checkout / folder / "bundle.json") for folder in ("again", "measured"))
    assert again["command"] == before["command"]
    assert again["seal"] != before["seal"]


@pytest.mark.parametrize(
    ("fate", "message"),
    [
        ("fill", "Rank 1: The device's memory did not suffice: DefaultCPUAllocator: can't allocate memory"),
        ("die", "Rank 1: the system killed it, as it does when memory runs out."),
    ],
)
def test_when_the_second_process_fails_the_run_fails_for_its_reason(checkout, fate, message):
    done = recipes(checkout, "run", SLUG, "--set", f"fate={fate}", "--out", fate, "--events", f"{fate}.jsonl")
    assert done.returncode == 1
    failure = events(checkout / f"{fate}.jsonl")[-1]
    assert (failure["type"], failure["kind"]) == ("failure", "out_of_memory")
    assert failure["message"].startswith(message)
    assert failure["message"] in done.stderr
    if fate == "fill":  # it lived to tell
        found = bundle.read(checkout / fate / "bundle.json")
        assert found["failure"] == {"kind": failure["kind"], "message": failure["message"]}
        assert "in run\n    torch.empty(2**60)" in found["log"]


def test_two_gpus_are_asked_for_where_there_are_none(checkout):
    done = recipes(checkout, "run", SLUG, "--preset", "full", "--device", "cpu", "--out", "full")
    assert (done.returncode, done.stderr) == (
        1,
        "The full preset of toy-pair needs 2 GPUs; use --preset smoke on a CPU.\n",
    )
