"""Pre-registration: what a version of a recipe scores, and how, is written down before its first scored run.

frozen.toml holds a digest of the rules of each version; a rule that changes afterwards needs a new version.
"""

import hashlib
import json
import tomllib
from argparse import Namespace
from collections.abc import Iterable, Mapping
from pathlib import Path

from reproduce.recipes import spec
from reproduce.recipes.spec import Recipe

PATH = Path(__file__).parent / "frozen.toml"
HEADER = """\
# The rules by which each version of a recipe is scored, as SHA-256 of its measures: names, metrics, claims,
# rules, tolerances, what is scored. Written by `python -m reproduce.recipes freeze`, in a commit of its own,
# before the first scored run. Never edit a line: raise the recipe's version and say why.

"""
RULE = ("name", "metric", "claim", "rule", "tolerance", "comparable_on", "scored", "headline")


def digest(recipe: Recipe) -> str:
    """SHA-256 of all that decides a verdict, in the recipe's order; labels and notes are free to change."""
    rules = [[getattr(measure, name) for name in RULE] for measure in recipe.measures]
    return hashlib.sha256(json.dumps(rules).encode()).hexdigest()


def frozen() -> dict[str, dict[str, str]]:
    """Digests by slug and version, as text; empty before anything was frozen."""
    return tomllib.loads(PATH.read_text(encoding="utf-8")) if PATH.is_file() else {}


def broken_promises(recipes: Iterable[Recipe]) -> list[str]:
    """A sentence for each recipe whose rules are no longer those that were frozen for its version."""
    known = frozen()
    return [
        f"{recipe.slug}: the rules of version {recipe.version} changed after they were frozen; "
        "raise the version, say why in changes, and freeze that."
        for recipe in recipes
        if digest(recipe) != known.get(recipe.slug, {}).get(str(recipe.version), digest(recipe))
    ]


def freeze(given: Namespace) -> int:
    """Writes down the rules of the recipes named, or of all; what is frozen stays as it is."""
    recipes = [spec.load(slug) for slug in given.slugs] or spec.load_all()
    if faults := broken_promises(recipes):
        print("\n".join(faults))
        return 1
    known, new = frozen(), []
    for recipe in recipes:
        versions = known.setdefault(recipe.slug, {})
        if str(recipe.version) not in versions:
            versions[str(recipe.version)] = digest(recipe)
            new.append(f"{recipe.slug} version {recipe.version}")
    PATH.write_text(_written(known), encoding="utf-8")
    print("Frozen: " + (", ".join(new) or "nothing new"))
    return 0


def _written(known: Mapping[str, Mapping[str, str]]) -> str:
    parts = []
    for slug in sorted(known):
        lines = [f'{version} = "{known[slug][version]}"' for version in sorted(known[slug], key=int)]
        parts.append("\n".join([f"[{slug}]", *lines]))
    return HEADER + "\n\n".join(parts) + "\n"
