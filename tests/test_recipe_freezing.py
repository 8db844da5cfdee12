"""Pre-registration: rules are frozen for each version, and what was measured was frozen before."""

from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest

from reproduce.recipes import bundle, freezing, spec

RESULTS = Path(freezing.__file__).parents[1] / "results"
RECIPE = spec.load("lora-memory")


@pytest.fixture
def register(tmp_path, monkeypatch):
    monkeypatch.setattr(freezing, "PATH", tmp_path / "frozen.toml")
    return freezing.PATH


def test_every_version_that_was_measured_was_frozen_and_no_frozen_rule_changed():
    assert freezing.broken_promises(spec.load_all()) == []
    measured = {
        (found["recipe"]["slug"], str(found["recipe"]["version"]))
        for found in map(bundle.read, RESULTS.glob("*.json"))
    }
    known = freezing.frozen()
    assert [(slug, version) for slug, version in measured if version not in known.get(slug, {})] == []


def test_freezing_twice_changes_nothing_and_a_changed_rule_breaks_the_promise(register, monkeypatch, capsys):
    assert freezing.freeze(Namespace(slugs=["lora-memory"])) == 0
    before = register.read_text()
    assert freezing.freeze(Namespace(slugs=["lora-memory"])) == 0
    assert register.read_text() == before
    assert capsys.readouterr().out == f"Frozen: lora-memory version {RECIPE.version}\nFrozen: nothing new\n"
    first, *rest = RECIPE.measures
    looser = replace(RECIPE, measures=(replace(first, tolerance=0.5), *rest))
    (told,) = freezing.broken_promises([looser])
    assert told.startswith(
        f"lora-memory: the rules of version {RECIPE.version} changed after they were frozen"
    )
    assert freezing.broken_promises([replace(looser, version=99)]) == []
    monkeypatch.setattr(spec, "load", lambda slug: looser)
    assert freezing.freeze(Namespace(slugs=["lora-memory"])) == 1
    assert register.read_text() == before


def test_words_may_change_and_every_rule_counts(register):
    measure = RECIPE.measures[0]
    same = replace(RECIPE, measures=(replace(measure, label="Other", note="Other"), *RECIPE.measures[1:]))
    assert freezing.digest(same) == freezing.digest(RECIPE)
    for change in ({"rule": "band"}, {"claim": None}, {"scored": False}, {"comparable_on": ("any",)}):
        other = replace(RECIPE, measures=(replace(measure, **change), *RECIPE.measures[1:]))
        assert freezing.digest(other) != freezing.digest(RECIPE)
