"""A recipe that cannot be read is shown with its faults, everywhere that names recipes; the others go on."""

import shutil

import pytest
from django.core.checks import run_checks

from reproduce import catalogue, demand
from reproduce.recipes import spec

pytestmark = pytest.mark.django_db


@pytest.fixture
def broken(tmp_path, monkeypatch):
    """The recipes as they are, and one more whose metric is outside the vocabulary."""
    folder = tmp_path / "recipes"
    shutil.copytree(spec.FOLDER, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    sound = folder / "flashattention-io" / "recipe.toml"
    (folder / "broken-one").mkdir()
    text = sound.read_text().replace(f'slug = "{sound.parent.name}"', 'slug = "broken-one"')
    (folder / "broken-one" / "recipe.toml").write_text(text.replace('metric = "', 'metric = "no_such_', 1))
    for recipe in folder.glob("*/recipe.toml"):
        (recipe.parent / "run.py").touch()
    monkeypatch.setattr(spec, "FOLDER", folder)
    catalogue._shelves.cache_clear()
    yield "broken-one"
    catalogue._shelves.cache_clear()


def test_the_pages_name_the_fault_and_the_others_go_on(broken, client):
    page = client.get("/recipes")
    assert page.status_code == 200
    assert "The recipe" in page.text and "no_such_" in page.text
    alone = client.get(f"/recipes/{broken}")
    assert alone.status_code == 503
    assert f"python -m reproduce.recipes check {broken}" in alone.text
    assert client.get("/recipes/flashattention-io").status_code == 200


def test_a_request_for_it_is_refused_with_the_fault(broken, ben):
    with pytest.raises(demand.Refused, match="is broken and cannot run until that is mended"):
        demand.request_run(broken, preset="smoke", typed={}, who=ben)


def test_the_checks_fail(broken):
    assert [error.id for error in run_checks() if error.id == "reproduce.E001"] == ["reproduce.E001"]


def test_a_claim_that_the_paper_does_not_make_fails_the_checks(broken):
    path = spec.FOLDER / broken / "recipe.toml"
    text = path.read_text().replace('metric = "no_such_', 'metric = "', 1)
    path.write_text(text.replace('claim = "speedup_x"', 'claim = "speedup_x-77"', 1))
    found = [error.msg for error in run_checks() if error.id.startswith("reproduce")]
    assert len(found) == 1
    assert "names a claim 'speedup_x-77' that arxiv:2205.14135 does not make" in found[0]
