"""The recipes as the site sees them: read from their folders, tied to their papers."""

import hashlib
import json
from collections.abc import Sequence
from functools import cache

from papers import identity
from papers.models import FormerKey, Identifier, Paper
from reproduce.recipes import spec
from reproduce.recipes.spec import Recipe

KEY = "key"  # names a paper that has neither an arXiv id nor a DOI, as in papers/corpus/claims.toml


@cache
def _shelves() -> tuple[tuple[Recipe, ...], dict[str, list[str]]]:
    sound, broken = [], {}
    for slug in spec.slugs():
        try:
            sound.append(spec.load(slug))
        except spec.RecipeError as error:
            broken[slug] = str(error).splitlines()
    return tuple(sound), broken


def recipes() -> tuple[Recipe, ...]:
    """Every sound recipe, sorted by slug."""
    return _shelves()[0]


def broken() -> dict[str, list[str]]:
    """The faults of each broken recipe by its slug: shown, so that none silently disappears."""
    return _shelves()[1]


def recipe(slug: str) -> Recipe | None:
    return next((recipe for recipe in recipes() if recipe.slug == slug), None)


def recipes_of(paper: Paper) -> list[Recipe]:
    """The recipes that re-measure this paper."""
    names = {(identifier.scheme, identifier.value) for identifier in paper.identifiers.all()}
    names |= {(KEY, key) for key in (paper.key, *(former.key for former in paper.former_keys.all()))}
    return [recipe for recipe in recipes() if name_of_paper(recipe) in names]


def paper_of(recipe: Recipe) -> Paper | None:
    """The paper that a recipe re-measures; None if it is not in the database."""
    scheme, value = name_of_paper(recipe)
    if scheme == KEY:
        return _by_keys([value]).get(value)
    return identity.resolve(scheme, value)


def device_of(preset: str, recipe: Recipe | None = None) -> str:
    """The device class that a preset is meant for; some recipes are for a CPU in both."""
    return "cuda" if preset == "full" and (recipe is None or recipe.gpus) else "cpu"


def needs(recipe: Recipe, preset: str, labels: Sequence[str] = ()) -> dict[str, object]:
    """What a run of it needs of a worker, as columns of Run; `labels` are asked for besides the recipe's own.

    A small preset fits any CPU slot.
    """
    device = device_of(preset, recipe)
    return {
        "device": device,
        "gpus": max(recipe.gpus, 1),
        "memory_gb": recipe.gpu_memory_gb if device == "cuda" else 0,
        "labels": sorted({*labels, *(recipe.labels if device == "cuda" else ())}),
    }


def fingerprint(digest: str, preset: str, parameters: dict[str, object], labels: Sequence[str] = ()) -> str:
    """SHA-256 that two requests share exactly when they ask the same question of the same code.

    Who asks for certain hardware or software, by labels, asks another question than who takes any.
    """
    where = [sorted(set(labels))] if labels else []
    asked = json.dumps([digest, preset, parameters, *where], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(asked.encode()).hexdigest()


def papers() -> dict[str, Paper]:
    """Each recipe's paper by the recipe's slug, in three queries at most; those without one are left out."""
    names = {recipe.slug: name_of_paper(recipe) for recipe in recipes()}
    values = [value for scheme, value in names.values() if scheme != KEY]
    keys = [value for scheme, value in names.values() if scheme == KEY]
    found = Identifier.objects.filter(value__in=values).select_related("paper")
    known = {(item.scheme, item.value): item.paper for item in found}
    known |= {(KEY, key): paper for key, paper in (_by_keys(keys) if keys else {}).items()}
    return {slug: known[name] for slug, name in names.items() if name in known}


def _by_keys(keys: Sequence[str]) -> dict[str, Paper]:
    """Papers by key, also by one that a merge retired."""
    former = FormerKey.objects.filter(key__in=keys).select_related("paper")
    present = {paper.key: paper for paper in Paper.objects.filter(key__in=keys)}
    return {each.key: each.paper for each in former} | present


def name_of_paper(recipe: Recipe) -> tuple[str, str]:
    """The scheme and value by which a recipe names its paper, in the spelling of Identifier; or KEY."""
    scheme, value = recipe.paper.split(":", 1)
    return scheme, value if scheme == KEY else identity.normalise(scheme, value)
