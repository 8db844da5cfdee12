"""The command `new`: writes a recipe that runs at once, compares two real things, and says what to do next.

Its measures are the paper's claims; until they are measured the full preset fails a guard.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from string import Template
from typing import Any

from papers import identifiers
from papers.metrics import METRICS
from reproduce.recipes import claims, spec

TEMPLATES = Path(__file__).parent / "scaffold"
TESTS = Path(__file__).parents[2] / "tests" / "recipes"
LONGEST = 50  # characters of a slug, so that names made of it fit everywhere


class CannotBegin(ValueError):
    """A recipe that cannot be begun; the message is one sentence with the remedy."""


def new(given: argparse.Namespace) -> int:
    """Writes the files of a new recipe and prints what to do with them; the exit status."""
    try:
        paper = paper_of(given.paper)
        written = begin(given.slug, paper)
    except CannotBegin as error:
        print(error, file=sys.stderr)
        return 1
    root = TESTS.parents[1]
    for path in written:
        print(f"wrote {path.relative_to(root) if path.is_relative_to(root) else path}")
    print(_next_steps(given.slug, paper))
    return 0


def paper_of(typed: str) -> str:
    """The identifier as recipes write it, from any form of it. Raises CannotBegin."""
    name = ("key", typed[4:]) if typed.startswith("key:") else identifiers.recognise(typed)
    found = f"{name[0]}:{name[1]}" if name else ""
    if not re.fullmatch(spec.PAPER, found):
        raise CannotBegin(
            f"--paper {typed[:80]!r} is not an identifier that a recipe can have: write arXiv:2205.14135, "
            "doi:10.1000/182, or key:KEY for a paper that has neither."
        )
    return found


def begin(slug: str, paper: str, folder: Path | None = None, tests: Path | None = None) -> list[Path]:
    """Writes recipe.toml, run.py and a test, and returns their paths. Raises CannotBegin."""
    home, tests = (folder or spec.FOLDER) / slug, tests or TESTS
    test = tests / f"test_{slug.replace('-', '_')}.py"
    _refuse(slug, home, test)
    made = claims.of(paper)
    known = {
        "slug": slug,
        "paper": paper,
        "title": _quoted(claims.title(paper) or slug.replace("-", " ").capitalize()),
        "today": date.today().isoformat(),
        "measures": "\n".join(_measures(made)) or f"# None yet: the corpus has no claims of {paper}.\n",
        "headline": "" if made else "headline = true\n",
        "names": _tuple([_name(claim) for claim in made]),
    }
    files = {home / "recipe.toml": "recipe.txt", home / "run.py": "run.txt", test: "test.txt"}
    try:
        home.mkdir()
        tests.mkdir(parents=True, exist_ok=True)
        for path, template in files.items():
            path.write_text(_template(template).substitute(known), encoding="utf-8")
    except OSError as error:
        raise CannotBegin(f"{error.filename} cannot be written: {error.strerror}.") from error
    return list(files)


def _refuse(slug: str, home: Path, test: Path) -> None:
    if not re.fullmatch(spec.SLUG, slug) or len(slug) > LONGEST:
        raise CannotBegin(
            f"{slug[:80]!r} is no name for a recipe: write lower-case words and numbers joined by hyphens, "
            f"such as flash-attention, with at most {LONGEST} characters."
        )
    if home.exists():
        raise CannotBegin(f"{home.name} is there already: choose another name, or edit {home}.")
    if home.with_suffix(".py").exists() or not re.search("[a-z]", slug):
        raise CannotBegin(f"{slug!r} is the name of something else here: choose another.")
    if test.exists():
        raise CannotBegin(f"{test} is there already: choose another name, or move it away.")


def _measures(made: list[dict[str, Any]]) -> Iterator[str]:
    """A table of recipe.toml for each claim; the first is the headline."""
    for number, claim in enumerate(made):
        rule = rule_of(claim)
        lines = {
            "name": _name(claim),
            "metric": claim["metric"],
            "claim": claim["slug"],
            "label": f"{METRICS[claim['metric']].name}: {claim['unit']}"[:120],
            "rule": rule,
        }
        found = [f"# Claimed: {claim['value']:g}, {_line(claim['setting'])} ({_line(claim['locator'])})."]
        found += ["[[measures]]", *(f"{key} = {_quoted(value)}" for key, value in lines.items())]
        found += ["scored = false"] if rule == "none" else []
        found += ["headline = true"] if number == 0 else []
        yield "\n".join(found) + "\n"


def rule_of(claim: Mapping[str, Any]) -> str:
    """The rule that suits a claim most often; the author decides before the first full run."""
    metric = METRICS[claim["metric"]]
    if metric.kind == "absolute":
        return "none"
    if metric.slug == "order_holds":
        return "order"
    if metric.slug.endswith("_exponent"):
        return "exp"
    return "ratio" if metric.unit == "x" and claim["value"] not in (0, 1) else "band"


def _tuple(names: list[str]) -> str:
    """Python's items of a tuple, one a line if there are several."""
    if len(names) < 2:
        return "".join(f'"{name}",' for name in names)
    return "".join(f'\n    "{name}",' for name in names) + "\n"


def _name(claim: Mapping[str, Any]) -> str:
    return claim["slug"].replace("-", "_")


def _quoted(value: str) -> str:
    """A TOML string; JSON's form is one."""
    return json.dumps(_line(value), ensure_ascii=False)


def _line(value: str) -> str:
    return " ".join(value.split())


def _template(name: str) -> Template:
    return Template((TEMPLATES / name).read_text(encoding="utf-8"))


def _next_steps(slug: str, paper: str) -> str:
    count = len(claims.of(paper))
    said = f"Its measures are the {count} claim{'s' if count != 1 else ''} of {paper}, none measured yet."
    if not count:
        said = f"The corpus has no claims of {paper} yet: add them to papers/corpus/claims.toml."
    return f"""{said} The recipe runs already:
  python -m reproduce.recipes check {slug}
  python -m reproduce.recipes run {slug} --out /tmp/{slug}
  python -m pytest tests/recipes/test_{slug.replace("-", "_")}.py
Next: docs/recipes.md, and the comments that begin with TODO in both files; name the recipe in README.md."""
