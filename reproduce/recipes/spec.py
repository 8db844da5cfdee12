"""What a recipe says about itself: recipe.toml, read strictly.

An unknown key, a wrong type or a metric outside the vocabulary is an error that names the file and the key.
Source of the rules: RECIPES, part A.3.
"""

import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from papers.metrics import METRICS
from reproduce.recipes import TOOLBOX_VERSION, blocks
from reproduce.recipes.parameters import Parameter, ParameterError, parameter_faults
from reproduce.recipes.schema import day, every, flag, number, one_of, record, text, whole

FOLDER = Path(__file__).parent
PRESETS = ("smoke", "full")
RULES = ("ratio", "band", "frac", "exact", "exp", "order", "none")
SLUG = r"[a-z0-9]+(-[a-z0-9]+)*"
PAPER = r"arxiv:(\d{4}\.\d{4,5}|[a-z-]+(\.[A-Z]{2})?/\d{7})|doi:10\.\d{4,9}/\S+|key:[A-Za-z0-9_-]+"

_MEASURE = record(
    {
        "name": text(60, r"[a-z][a-z0-9_]*", "a lower-case name such as speedup_lean"),
        "metric": one_of(*METRICS),
        "label": text(120, r".+"),
        "rule": one_of(*RULES),
    },
    {
        "claim": text(60, r"[a-z0-9_]+(-\d+)?", "a claim's slug such as speedup_x or speedup_x-2"),
        "tolerance": number(0, 10),
        "comparable_on": every(text(60, r"\S.*"), 10, least=1),
        "headline": flag,
        "scored": flag,
        "note": text(500),
    },
    {
        "name": 'name = "speedup"',
        "metric": 'metric = "speedup_x" (see papers/metrics.py)',
        "label": 'label = "Forward and backward, as in the paper"',
        "rule": 'rule = "ratio", or "none" with scored = false',
    },
)
_CHANGE = record(
    {"version": whole(1, 10_000), "date": day, "note": text(500, r"(?s).+")},
    examples={"version": "version = 1", "date": "date = 2026-01-31", "note": 'note = "First version."'},
)
_RECIPE = record(
    {
        "slug": text(60, SLUG, "lower-case words joined by hyphens"),
        "title": text(200, r".+"),
        "version": whole(1, 10_000),
        "summary": text(400, r".+"),
        "paper": text(200, PAPER, 'an identifier such as "arxiv:2205.14135" or "doi:10.1000/182"'),
        "tier": one_of("A", "B", "C"),
        "origin": text(500, r"(?s).+"),
        "differs": every(text(600, r"(?s).+"), 40),
        "gpus": whole(0, 64),
        "gpu_memory_gb": number(0, 100_000),
        "time_limit_s": record({"smoke": whole(1, 86_400), "full": whole(1, 86_400)}),
        "measures": every(_MEASURE, 60, least=1),
        "changes": every(_CHANGE, 1000, least=1),
    },
    {
        "labels": every(text(100, r"\S.*"), 5),
        "parameters": lambda value, place: parameter_faults(value, place),
    },
    {
        "slug": "the folder's name as a string",
        "title": 'title = "What is compared with what"',
        "version": "version = 1",
        "summary": 'summary = "What is measured, in one sentence."',
        "paper": 'paper = "arxiv:2205.14135"',
        "tier": 'tier = "B" (A: the paper\'s own setting; B: real shapes, random weights; C: a small model)',
        "origin": 'origin = "Written for this project after the paper\'s section 3."',
        "differs": 'differs = ["How this setting differs from the paper\'s, a sentence each."]',
        "gpus": "gpus = 1 (0: the full preset runs on a CPU)",
        "gpu_memory_gb": "gpu_memory_gb = 16",
        "time_limit_s": "[time_limit_s] with smoke = 120 and full = 600",
        "measures": "[[measures]] with name, metric, label and rule",
        "changes": '[[changes]] with version = 1, date = 2026-01-31 and note = "First version."',
    },
)


class RecipeError(ValueError):
    """A recipe that cannot be used; the message lists every fault, one a line."""


@dataclass(frozen=True)
class Measure:
    """One number that a recipe promises, and the claim of the paper that it is held against."""

    name: str
    metric: str
    label: str
    rule: str
    claim: str | None = None
    tolerance: float | None = None
    comparable_on: tuple[
        str, ...
    ] = ()  # parts of device names on which an absolute number is scored; or "any"
    headline: bool = False
    scored: bool = True
    note: str = ""


@dataclass(frozen=True)
class Recipe:
    """A valid recipe.toml; `time_limit_s` and each parameter's defaults are keyed by preset."""

    slug: str
    title: str
    version: int
    summary: str
    paper: str
    tier: str
    origin: str
    differs: tuple[str, ...]
    gpus: int
    gpu_memory_gb: float
    time_limit_s: Mapping[str, int]
    measures: tuple[Measure, ...]
    changes: tuple[Mapping[str, Any], ...]
    labels: tuple[str, ...] = ()  # that a worker must have for the full preset, such as "hopper"
    schema: tuple[Parameter, ...] = field(default=())

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the names and bytes of the folder's files, and the versions of toolbox and blocks."""
        total = hashlib.sha256(f"toolbox {TOOLBOX_VERSION}\n".encode())
        folder = FOLDER / self.slug
        total.update("".join(f"{name} {number}\n" for name, number in blocks.used_in(folder)).encode())
        for path in sorted(p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts):
            content = path.read_bytes()
            total.update(f"{path.relative_to(folder).as_posix()} {len(content)}\n".encode())
            total.update(content)
        return total.hexdigest()

    def measure(self, name: str) -> Measure:
        """The measure of that name; KeyError if the recipe promises none."""
        return {measure.name: measure for measure in self.measures}[name]

    def unit(self, name: str) -> str:
        """The unit of that measure, from the vocabulary; KeyError if the recipe promises none."""
        return METRICS[self.measure(name).metric].unit

    def parameters(self, preset: str, overrides: Mapping[str, object]) -> dict[str, Any]:
        """The preset's values with `overrides` applied, typed as text or as JSON values.

        Raises ParameterError with one sentence for each name that is unknown or whose value is refused.
        """
        known = {parameter.name: parameter for parameter in self.schema}
        values = {name: parameter.default(preset) for name, parameter in known.items()}
        faults = {}
        for name, value in overrides.items():
            try:
                values[name] = known[name].parse(value)
            except KeyError:
                faults[name] = f"There is no such parameter; this recipe has: {', '.join(known) or 'none'}."
            except ValueError as error:
                faults[name] = str(error)
        if faults:
            raise ParameterError(faults)
        return values


def slugs() -> list[str]:
    """The folders that hold a recipe, sorted."""
    return sorted(path.parent.name for path in FOLDER.glob("*/recipe.toml"))


def load(slug: str) -> Recipe:
    """The recipe in the folder `slug`. Raises RecipeError that lists every fault of it."""
    if not re.fullmatch(SLUG, slug) or not (FOLDER / slug / "recipe.toml").is_file():
        if re.fullmatch(SLUG, slug) and (FOLDER / slug).is_dir():
            raise RecipeError(f"The folder {slug} has no recipe.toml: add one, or make a folder by `new`.")
        raise RecipeError(f"There is no recipe {slug[:80]!r}; there are: {', '.join(slugs())}.")
    return read(FOLDER / slug / "recipe.toml")


def load_all() -> list[Recipe]:
    """Every recipe, sorted by slug. Raises RecipeError that lists every fault of all of them."""
    if found := faults():
        raise RecipeError("\n".join(found))
    return [load(slug) for slug in slugs()]


def faults() -> list[str]:
    """Every fault of every recipe, as sentences that name the file and the key."""
    found = []
    for slug in slugs():
        try:
            load(slug)
        except RecipeError as error:
            found.extend(str(error).splitlines())
    return found


def read(path: Path) -> Recipe:
    """The recipe that `path`, a recipe.toml, describes. Raises RecipeError that lists every fault."""
    name = f"{path.parent.name}/{path.name}"
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{name}: not valid TOML: {error}") from error
    found = list(_RECIPE(data, "")) or list(_contradictions(data, path.parent))
    if found:
        raise RecipeError("\n".join(f"{name}: {fault}" for fault in found))
    parameters = data.pop("parameters", {})
    return Recipe(
        **{**data, "differs": tuple(data["differs"]), "changes": tuple(data["changes"])}
        | {"labels": tuple(data.get("labels", ()))}
        | {"measures": tuple(_measure(given) for given in data["measures"])}
        | {"schema": tuple(Parameter.build(name, given) for name, given in parameters.items())}
    )


def _measure(given: Mapping[str, Any]) -> Measure:
    return Measure(**{**given, "comparable_on": tuple(given.get("comparable_on", ()))})


def _contradictions(data: Mapping[str, Any], folder: Path) -> Iterator[str]:
    if data["slug"] != folder.name:
        yield f"slug is {data['slug']!r}; it must be the folder's name, {folder.name!r}"
    if not (folder / "run.py").is_file():
        yield "run.py is missing beside it; it must define run(context)"
    if max(change["version"] for change in data["changes"]) != data["version"]:
        yield (
            f"changes has no note for version {data['version']}, or one for a later version; "
            f"add [[changes]] with version = {data['version']}, a date and a note"
        )
    names = [measure["name"] for measure in data["measures"]]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"measures: the name {name!r} is used twice; rename one of them"
    headlines = [measure["name"] for measure in data["measures"] if measure.get("headline")]
    if len(headlines) != 1:
        yield f"measures: exactly one must have headline = true; now it is {', '.join(headlines) or 'none'}"
    for index, measure in enumerate(data["measures"], 1):
        for fault in _measure_contradictions(measure):
            yield f"measures[{index}]{fault}"


def _measure_contradictions(measure: Mapping[str, Any]) -> Iterator[str]:
    if measure.get("scored", True) and ("claim" not in measure or measure["rule"] == "none"):
        yield " is scored, so it needs a claim and a rule; or set scored = false"
    if "tolerance" in measure and measure["rule"] not in ("exact", "exp"):
        yield f".tolerance has no meaning for the rule {measure['rule']!r}; remove it: exact and exp take one"
    if "comparable_on" in measure and METRICS[measure["metric"]].kind != "absolute":
        yield ".comparable_on is for absolute numbers only; a ratio is comparable on every device"
    if "claim" in measure and re.sub(r"-\d+$", "", measure["claim"]) != measure["metric"]:
        meant = re.sub(r"-\d+$", "", measure["claim"])
        yield (
            f".claim {measure['claim']!r} is a claim about another metric than {measure['metric']!r}; "
            f"name a claim such as {measure['metric']!r}, or set metric = {meant!r}"
        )
