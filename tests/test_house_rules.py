"""The rules of the house: imports point one way, torch stays in the recipes, rooms stay small and named."""

import ast
from pathlib import Path

import pytest

HOUSE = Path(__file__).parent.parent
APPS = ("papers", "reproduce", "explorer")
RECIPES = HOUSE / "reproduce" / "recipes"
MAY_IMPORT = {
    "papers": {"papers"},
    "reproduce": {"papers", "reproduce"},
    "explorer": set(APPS),
    "config": {"config"},
}
DRAWERS = {"utils", "helpers", "common", "services", "selectors", "misc", "core"}
LONGEST_FILE, LONGEST_DOCSTRING = 300, 4

sources = sorted(
    path
    for app in (*APPS, "config")
    for path in (HOUSE / app).rglob("*.py")
    if "migrations" not in path.parts
)


def imports(path):
    """Top-level names that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.split(".")[0]


def named(path):
    return str(path.relative_to(HOUSE))


@pytest.mark.parametrize("path", sources, ids=named)
def test_imports_point_one_way(path):
    app = path.relative_to(HOUSE).parts[0]
    ours = set(imports(path)) & {*APPS, "config"}
    assert ours - MAY_IMPORT[app] == set()


@pytest.mark.parametrize("path", sources, ids=named)
def test_torch_stays_in_the_recipes_and_django_out_of_them(path):
    found = set(imports(path)) & {"torch", "django", "celery"}
    assert found - ({"torch"} if RECIPES in path.parents else {"django", "celery"}) == set()


def test_the_web_needs_no_scikit_learn():
    """The worker's own: learning, never suggesting."""
    users = [named(path) for path in sources if "sklearn" in imports(path) and RECIPES not in path.parents]
    importers = [named(path) for path in sources if "from papers.suggestion_training" in path.read_text()]
    assert (users, importers) == (["papers/suggestion_training.py"], [])


@pytest.mark.parametrize("path", sources, ids=named)
def test_rooms_are_small_and_named_for_what_they_do(path):
    source = path.read_text()
    docstring = ast.get_docstring(ast.parse(source)) or ""
    assert path.stem not in DRAWERS
    assert len(source.splitlines()) <= LONGEST_FILE
    assert len(docstring.splitlines()) <= LONGEST_DOCSTRING
    assert docstring or path.name == "__init__.py"


@pytest.mark.parametrize("folder", sorted(path.parent for path in RECIPES.glob("*/recipe.toml")), ids=named)
def test_a_recipe_is_one_folder_that_nothing_else_names(folder):
    assert (folder / "run.py").is_file()
    elsewhere = [path for path in sources if folder not in path.parents and folder.name in path.read_text()]
    assert elsewhere == []


def test_no_model_signals_and_no_save_overrides():
    for path in sources:
        tree = ast.parse(path.read_text())
        assert "django.db.models.signals" not in path.read_text(), path
        assert "save" not in {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}, path


def test_the_readme_is_short_and_names_every_room_and_recipe():
    readme = (HOUSE / "README.md").read_text()
    assert len(readme.splitlines()) <= 150
    rooms = ("config/", "papers/", "reproduce/", "explorer/", "templates/", "tests/", "benchmarks/")
    recipes = [path.parent.name for path in RECIPES.glob("*/recipe.toml")]
    assert [name for name in (*rooms, *recipes) if name not in readme] == []
