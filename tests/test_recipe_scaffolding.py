"""A new recipe runs, passes its checks and its own tests; what cannot be begun is refused with the remedy."""

import importlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from reproduce import recipes
from reproduce.recipes import claims, scaffolding, spec
from reproduce.recipes.__main__ import main
from reproduce.recipes.context import Context
from reproduce.recipes.events import Events
from tests.test_recipe_run import WITHOUT_TORCH

ROOT = Path(__file__).parents[1]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Folders for recipes and their tests instead of the repository's; recipes there can be imported."""
    home, tests = tmp_path / "recipes", tmp_path / "tests"
    home.mkdir()
    monkeypatch.setattr(spec, "FOLDER", home)
    monkeypatch.setattr(scaffolding, "TESTS", tests)
    monkeypatch.setattr(recipes, "__path__", [*recipes.__path__, str(home)])
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("reproduce.recipes.new-")]:
        del sys.modules[name]


def begin(slug, paper):
    assert main(["new", slug, "--paper", paper]) == 0
    assert main(["check", slug]) == 0
    return spec.load(slug)


def ran(recipe, preset):
    """The recipe's own program, with the sizes of the small preset whatever it is told to be."""
    program = importlib.import_module(f"reproduce.recipes.{recipe.slug}.run")
    context = Context(recipe, preset, recipe.parameters("smoke", {}), torch.device("cpu"), Events())
    program.run(context)
    return context


def test_a_new_recipe_promises_the_papers_claims_and_reports_every_measure(place, capsys):
    recipe = begin("new-flash", "arXiv:2205.14135")
    assert recipe.title == "FlashAttention: Fast and Memory-Efficient Exact Attention with IO-Awareness"
    claimed = [measure.claim for measure in recipe.measures if measure.claim]
    assert claimed == [claim["slug"] for claim in claims.of("arxiv:2205.14135")]
    assert list(claims.faults(recipe)) == []
    assert "none measured yet" in capsys.readouterr().out
    context = ran(recipe, "smoke")
    assert context.missing() == []
    assert [g["name"] for g in context.guards if not g["passed"] and g["name"] != "quiet_most_rows"] == []
    assert context.series


def test_what_is_not_measured_yet_is_never_believed(place, monkeypatch):
    program_of = importlib.import_module
    recipe = begin("new-full", "arxiv:2211.17192")
    program = program_of(f"reproduce.recipes.{recipe.slug}.run")
    monkeypatch.setattr(program, "times", lambda *_: None)
    full = Context(recipe, "full", recipe.parameters("smoke", {}), torch.device("cpu"), Events())
    program.run(full)
    assert [guard["name"] for guard in full.guards if not guard["passed"]] == ["all_measured"]


def test_the_tests_of_a_new_recipe_pass_and_its_files_keep_the_rules_of_the_house(place, monkeypatch):
    for number, paper in enumerate(("arXiv:2205.14135", "key:yu2022orca", "2401.00001v2"), 1):
        begin(f"new-{number}", paper)
        path = place / "tests" / f"test_new_{number}.py"
        described = importlib.util.spec_from_file_location(path.stem, path)
        tests = importlib.util.module_from_spec(described)
        described.loader.exec_module(tests)
        tests.test_the_candidate_computes_what_the_baseline_does()
        with monkeypatch.context() as patches:
            tests.test_the_guard_sees_a_candidate_that_is_one_percent_off(patches)
    config = ["--config", ROOT / "pyproject.toml"]
    for words in (["check", *config, "--ignore", "ANN,E501"], ["format", "--check", *config]):
        command = [sys.executable, "-m", "ruff", *words, place]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_paper_without_claims_gives_a_recipe_that_is_scored_against_nothing(place):
    recipe = begin("new-unclaimed", "https://arxiv.org/abs/2401.00001")
    assert recipe.paper == "arxiv:2401.00001"
    assert [(m.name, m.headline, m.scored) for m in recipe.measures] == [("example_speedup", True, False)]


@pytest.mark.parametrize(
    ("slug", "sentence"),
    [
        ("New_Recipe", "is no name for a recipe: write lower-case words and numbers joined by hyphens"),
        ("../outside", "is no name for a recipe"),
        ("-dash", "is no name for a recipe"),
        ("a" * 51, "with at most 50 characters"),
        ("", "is no name for a recipe"),
        ("2024-11", "is the name of something else"),
        ("new-there", "new-there is there already: choose another name, or edit "),
        ("new-tested", "test_new_tested.py is there already: choose another name, or move it away."),
        ("new-module", "'new-module' is the name of something else here"),
    ],
)
def test_a_name_that_cannot_be_is_refused_in_one_sentence(place, capsys, slug, sentence):
    (place / "recipes" / "new-there").mkdir()
    (place / "recipes" / "new-module.py").touch()
    (place / "tests").mkdir()
    (place / "tests" / "test_new_tested.py").touch()
    before = sorted(place.rglob("*"))
    assert main(["new", "--paper", "arXiv:2205.14135", "--", slug]) == 1
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1
    assert sorted(place.rglob("*")) == before


@pytest.mark.parametrize(
    "typed", ["2205", "arXiv:2213.99999", "doi:ten", "key:", "key:two words", "", "isbn:1"]
)
def test_a_malformed_identifier_is_refused_with_those_that_would_do(place, capsys, typed):
    assert main(["new", "new-one", "--paper", typed]) == 1
    said = capsys.readouterr().err
    assert "write arXiv:2205.14135, doi:10.1000/182, or key:KEY" in said
    assert said.count("\n") == 1
    assert list((place / "recipes").iterdir()) == []


def test_beginning_needs_no_torch_numpy_or_django():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, "new", "flashattention-io", "--paper", "arXiv:2205.14135"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("flashattention-io is there already")


def changed(place, old, new, slug="new-wrong"):
    """What `check` says of a new recipe in which `old` stands no longer."""
    begin(slug, "arXiv:2205.14135")
    path = place / "recipes" / slug / "recipe.toml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    assert main(["check", slug]) == 1


@pytest.mark.parametrize(
    ("old", "new", "remedy"),
    [
        ('metric = "speedup_x"', 'metric = "speedup"', "did you mean 'speedup_x'?"),
        (
            "headline = true",
            "hedline = true",
            "measures[1].hedline is not a known key; did you mean 'headline'?",
        ),
        ("gpus = 1", "colour = 1", "colour is not a known key; known are: slug, title,"),
        ("version = 1", "", "version is missing; add, for example: version = 1"),
        (
            'rule = "ratio"',
            'rule = "rato"',
            "one of: ratio, band, frac, exact, exp, order, none; did you mean 'ratio'?",
        ),
        ('rule = "ratio"', 'rule = "ratio"\ntolerance = 0.1', "remove it: exact and exp take one"),
        ('claim = "speedup_x"', 'claim = "speedup_x-7"', "its claims of speedup_x are: speedup_x (5.71: "),
        ('claim = "speedup_x"', 'claim = "bytes_ratio"', "or set metric = 'bytes_ratio'"),
        (
            "2205.14135",
            "2205.14153",
            "(did you mean 'arxiv:2205.14135'?): add them to papers/corpus/claims.toml",
        ),
        ("headline = true", "", "exactly one must have headline = true; now it is none"),
        ('rule = "none"\nscored = false', 'rule = "none"', "needs a claim and a rule; or set scored = false"),
        ("full = 4096", "full = 99999", "Enter a whole number from 2 to 65536 instead of 99999."),
        ("min = 2", 'choices = ["a"]', "has no meaning for the type 'int': remove it; it is for choice"),
        ('type = "int"', 'type = "choice"', "parameters.width.min has no meaning"),
        ("gpus = 1", 'gpus = "1"', "gpus must be a whole number, not '1'"),
    ],
)
def test_check_says_what_would_be_right(place, capsys, old, new, remedy):
    changed(place, old, new)
    said = capsys.readouterr().err
    assert remedy in said
    assert all(line.startswith("new-wrong/recipe.toml: ") for line in said.splitlines())


def test_a_folder_without_a_recipe_is_told_from_a_wrong_name(place, capsys):
    (place / "recipes" / "new-empty").mkdir()
    assert main(["check", "new-empty"]) == 1
    assert "The folder new-empty has no recipe.toml" in capsys.readouterr().err
