"""recipe.toml is read strictly: each kind of fault is an error that names the file and the key."""

import pytest

from reproduce.recipes import blocks, spec
from reproduce.recipes.parameters import ParameterError

VALID = """
slug = "sorted-things"
title = "Sorting things"
version = 2
summary = "Sorts."
paper = "arxiv:2001.01234"
tier = "A"
origin = "Invented for this test."
differs = ["Nothing does."]
gpus = 0
gpu_memory_gb = 0

[time_limit_s]
smoke = 10
full = 60

[parameters.size]
help = "How many things"
type = "int"
smoke = 4
full = 4096
min = 1
max = 8192

[parameters.share]
help = "How many of them are sorted"
type = "float"
smoke = 0.5
full = 1.0
min = 0.0
max = 1.0

[parameters.lengths]
help = "How long they are"
type = "int_list"
smoke = [1, 2]
full = [1, 2, 4]
min = 1
max = 100
max_items = 3

[parameters.order]
help = "Which way"
type = "choice"
smoke = "up"
full = "down"
choices = ["up", "down"]

[parameters.stable]
help = "Whether equals keep their order"
type = "bool"
smoke = true
full = false

[[measures]]
name = "speedup"
metric = "speedup_x"
claim = "speedup_x-2"
label = "Faster"
rule = "ratio"
headline = true

[[measures]]
name = "growth"
metric = "scaling_exponent"
label = "Slope"
rule = "none"
scored = false

[[changes]]
version = 1
date = 2026-01-01
note = "First."

[[changes]]
version = 2
date = 2026-02-01
note = "Second."
"""


def make_recipe(folder, content=VALID, name="sorted-things"):
    path = folder / name / "recipe.toml"
    path.parent.mkdir()
    path.write_text(content)
    (path.parent / "run.py").write_text("")
    return path


def faults_of(folder, old, new):
    assert old in VALID
    with pytest.raises(spec.RecipeError) as refused:
        spec.read(make_recipe(folder, VALID.replace(old, new, 1)))
    return str(refused.value).splitlines()


def test_a_recipe_may_ask_for_labels_of_its_worker(tmp_path):
    asking = VALID.replace("tier = ", 'labels = ["hopper"]\ntier = ', 1)
    assert spec.read(make_recipe(tmp_path, asking)).labels == ("hopper",)
    assert (
        spec.read(
            make_recipe(
                tmp_path, name="sorted-others", content=VALID.replace("sorted-things", "sorted-others")
            )
        ).labels
        == ()
    )


def test_a_valid_recipe_is_read(tmp_path):
    recipe = spec.read(make_recipe(tmp_path))
    assert (recipe.slug, recipe.version, recipe.time_limit_s) == (
        "sorted-things",
        2,
        {"smoke": 10, "full": 60},
    )
    assert [measure.name for measure in recipe.measures] == ["speedup", "growth"]
    assert recipe.unit("speedup") == "x"


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('tier = "A"', 'tier = "A"\ncolour = "red"', "colour is not a known key"),
        ('title = "Sorting things"\n', "", "title is missing"),
        ("version = 2", 'version = "2"', "version must be a whole number"),
        ("version = 2", "version = true", "version must be a whole number"),
        ('tier = "A"', 'tier = "D"', "tier is 'D'; it must be one of: A, B, C"),
        ('differs = ["Nothing does."]', 'differs = "Nothing does."', "differs must be a list"),
        ("smoke = 10", "smoke = 0", "time_limit_s.smoke must be from 1 to 86400"),
        ("gpus = 0", "gpus = -1", "gpus must be from 0 to 64"),
        (
            "gpu_memory_gb = 0",
            "gpu_memory_gb = nan",
            "gpu_memory_gb must be a finite number from 0 to 100000",
        ),
        (
            'metric = "speedup_x"',
            'metric = "spedup_x"',
            "measures[1].metric is 'spedup_x'; it must be one of: ",
        ),
        ('rule = "ratio"', 'rule = "guess"', "measures[1].rule is 'guess'; it must be one of: "),
        ('name = "growth"', 'name = "Growth"', "measures[2].name is 'Growth'; it must be a lower-case name"),
        (
            'paper = "arxiv:2001.01234"',
            'paper = "2001.01234"',
            "paper is '2001.01234'; it must be an identifier such as",
        ),
        (
            'slug = "sorted-things"',
            'slug = "Sorted Things"',
            "slug is 'Sorted Things'; it must be lower-case",
        ),
        ('slug = "sorted-things"', 'slug = "other"', "slug is 'other'; it must be the folder's name"),
        ("version = 2\nsummary", "version = 3\nsummary", "changes has no note for version 3"),
        ('name = "growth"', 'name = "speedup"', "measures: the name 'speedup' is used twice"),
        ("headline = true", "headline = false", "measures: exactly one must have headline = true"),
        ("scored = false", "scored = true", "measures[2] is scored, so it needs a claim and a rule"),
        ('rule = "ratio"', 'rule = "ratio"\ntolerance = 0.1', "measures[1].tolerance has no meaning"),
        (
            'claim = "speedup_x-2"',
            'claim = "bytes_ratio"',
            "measures[1].claim 'bytes_ratio' is a claim about",
        ),
        ("date = 2026-01-01", 'date = "2026-01-01"', "changes[1].date must be a date"),
        ('type = "int"', 'type = "integer"', "parameters.size.type is 'integer'; it must be one of: "),
        ("full = 4096", "full = 9999", "parameters.size.full: Enter a whole number from 1 to 8192"),
        ("full = 4096", 'full = "4096"', "parameters.size.full: Write it as a TOML value of its type"),
        ("[parameters.size]", "[parameters.Size]", "parameters.Size is 'Size'; it must be a lower-case name"),
        (
            'choices = ["up", "down"]',
            'choices = ["up"]',
            "parameters.order.full: Choose one of up instead of 'down'",
        ),
        (
            'choices = ["up", "down"]',
            'choices = ["up", "down"]\nmin = 1',
            "parameters.order.min has no meaning",
        ),
        (
            'rule = "none"',
            'rule = "none"\ncomparable_on = ["H100"]',
            "measures[2].comparable_on is for absolute numbers only",
        ),
        ('choices = ["up", "down"]', "", "parameters.order.choices is missing"),
        ("max_items = 3", "max_items = 2", "parameters.lengths.full: Enter 1 to 2 whole numbers"),
        ("stable]", "stable]\nmax_items = 3", "parameters.stable.max_items has no meaning"),
    ],
)
def test_each_fault_names_the_file_and_the_key(tmp_path, old, new, fault):
    found = faults_of(tmp_path, old, new)
    assert [line for line in found if line.startswith(f"sorted-things/recipe.toml: {fault}")] != []


def test_broken_toml_is_a_fault_with_its_line(tmp_path):
    assert faults_of(tmp_path, 'tier = "A"', "tier = ")[0].startswith(
        "sorted-things/recipe.toml: not valid TOML"
    )


def test_every_fault_is_listed_at_once(tmp_path):
    found = faults_of(tmp_path, 'version = 2\nsummary = "Sorts."', 'version = "x"\nsummary = 3')
    assert found == [
        "sorted-things/recipe.toml: version must be a whole number, not 'x'",
        "sorted-things/recipe.toml: summary must be text, not 3",
    ]


def test_a_recipe_without_code_is_a_fault(tmp_path):
    path = make_recipe(tmp_path)
    (path.parent / "run.py").unlink()
    with pytest.raises(spec.RecipeError, match=r"run\.py is missing beside it"):
        spec.read(path)


def test_a_broken_recipe_hides_no_other(tmp_path, monkeypatch):
    monkeypatch.setattr(spec, "FOLDER", tmp_path)
    make_recipe(tmp_path)
    make_recipe(tmp_path, VALID.replace("gpus = 0", "gpus = 99"), "broken-one")
    assert spec.slugs() == ["broken-one", "sorted-things"]
    assert spec.faults() == ["broken-one/recipe.toml: gpus must be from 0 to 64, not 99"]
    with pytest.raises(spec.RecipeError, match="gpus must be from 0 to 64"):
        spec.load_all()


@pytest.mark.parametrize("slug", ["nothing-here", "../spec", "", "Sorted-Things"])
def test_an_unknown_recipe_is_named_with_those_there_are(slug):
    with pytest.raises(spec.RecipeError, match=r"There is no recipe .*flashattention-io, lora-memory"):
        spec.load(slug)


def test_the_recipes_that_ship_have_no_fault():
    assert spec.faults() == []
    assert [recipe.slug for recipe in spec.load_all()] == spec.slugs()


def test_the_digest_changes_with_any_file_and_with_the_toolbox(tmp_path, monkeypatch):
    monkeypatch.setattr(spec, "FOLDER", tmp_path)
    path = make_recipe(tmp_path)
    digests = [spec.load("sorted-things").digest, spec.load("sorted-things").digest]
    (path.parent / "run.py").write_text("pass\n")
    digests.append(spec.load("sorted-things").digest)
    monkeypatch.setattr(spec, "TOOLBOX_VERSION", 10**6)
    digests.append(spec.load("sorted-things").digest)
    (path.parent / "__pycache__").mkdir()
    (path.parent / "__pycache__" / "run.pyc").write_bytes(b"compiled")
    digests.append(spec.load("sorted-things").digest)
    assert [digests.index(digest) for digest in digests] == [0, 0, 2, 3, 3]


def test_parameters_come_from_the_preset_and_may_be_changed(tmp_path):
    recipe = spec.read(make_recipe(tmp_path))
    assert recipe.parameters("smoke", {}) == {
        "size": 4,
        "share": 0.5,
        "lengths": [1, 2],
        "order": "up",
        "stable": True,
    }
    typed = {"size": " 128 ", "share": "0.25", "lengths": "8, 16 32", "order": "down", "stable": "off"}
    sent = {"size": 128, "share": 0.25, "lengths": [8, 16, 32], "order": "down", "stable": False}
    assert recipe.parameters("full", typed) == recipe.parameters("full", sent) == sent


def test_a_changed_list_does_not_change_the_default(tmp_path):
    recipe = spec.read(make_recipe(tmp_path))
    recipe.parameters("smoke", {})["lengths"].append(99)
    assert recipe.parameters("smoke", {})["lengths"] == [1, 2]


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("size", "many", "Enter a whole number instead of 'many'."),
        ("size", 2.5, "Enter a whole number instead of '2.5'."),
        ("size", True, "Enter a whole number instead of 'True'."),
        ("size", None, "Enter a whole number instead of 'None'."),
        ("size", 0, "Enter a whole number from 1 to 8192 instead of 0."),
        ("share", "nan", "Enter a number from 0 to 1 instead of nan."),
        ("share", "1e999", "Enter a number from 0 to 1 instead of 1e999."),
        ("lengths", "", "Enter a whole number instead of ''."),
        ("lengths", [], "Enter 1 to 3 whole numbers with commas between them."),
        ("lengths", "1,2,3,4", "Enter 1 to 3 whole numbers with commas between them."),
        ("lengths", "1, x", "Enter a whole number instead of 'x'."),
        ("lengths", [1, 101], "Enter a whole number from 1 to 100 instead of 101."),
        ("order", "sideways", "Choose one of up, down instead of 'sideways'."),
        ("stable", "perhaps", "Enter true or false instead of 'perhaps'."),
        ("speed", 1, "There is no such parameter; this recipe has: size, share, lengths, order, stable."),
    ],
)
def test_a_refused_parameter_gets_one_sentence(tmp_path, name, value, sentence):
    recipe = spec.read(make_recipe(tmp_path))
    with pytest.raises(ParameterError) as refused:
        recipe.parameters("smoke", {name: value, "order": "down"} if name != "order" else {name: value})
    assert refused.value.faults == {name: sentence}


def test_the_digest_changes_with_the_version_of_a_block_that_the_recipe_uses(tmp_path, monkeypatch):
    shared = tmp_path / "blocks"
    shared.mkdir()
    (shared / "sorting.py").write_text("from reproduce.recipes.blocks import counting\nVERSION = 3\n")
    (shared / "counting.py").write_text("VERSION = 1\n")
    (shared / "unused.py").write_text("VERSION = 1\n")
    monkeypatch.setattr(blocks, "FOLDER", shared)
    monkeypatch.setattr(spec, "FOLDER", tmp_path)
    path = make_recipe(tmp_path)
    (path.parent / "run.py").write_text("from reproduce.recipes.blocks.sorting import order\n")
    assert blocks.used_in(path.parent) == [("counting", 1), ("sorting", 3)]
    before = spec.load("sorted-things").digest
    (shared / "unused.py").write_text("VERSION = 2\n")
    assert spec.load("sorted-things").digest == before
    (shared / "counting.py").write_text("VERSION = 2\n")
    assert spec.load("sorted-things").digest != before


def test_a_block_without_a_version_is_refused(tmp_path, monkeypatch):
    (tmp_path / "sorting.py").write_text("")
    monkeypatch.setattr(blocks, "FOLDER", tmp_path)
    (tmp_path / "recipe").mkdir()
    (tmp_path / "recipe" / "run.py").write_text("import reproduce.recipes.blocks.sorting\n")
    with pytest.raises(ValueError, match=r"blocks/sorting\.py has no VERSION"):
        blocks.used_in(tmp_path / "recipe")
