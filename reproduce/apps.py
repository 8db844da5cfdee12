"""Has `manage.py check` name every fault of every recipe: a broken one never silently disappears."""

import tomllib
from collections.abc import Iterator
from pathlib import Path

from django.apps import AppConfig, apps
from django.core import checks

from reproduce.recipes import spec


class ReproduceConfig(AppConfig):
    name = "reproduce"

    def ready(self) -> None:
        checks.register(broken_recipes)


def broken_recipes(**_: object) -> list[checks.CheckMessage]:
    """Faults of recipe.toml files, and claims that the corpus does not hold."""
    if faults := spec.faults():
        return [checks.Error(fault, id="reproduce.E001") for fault in faults]
    return list(_unknown_claims())


def _unknown_claims() -> Iterator[checks.CheckMessage]:
    claims = tomllib.loads(Path(apps.get_app_config("papers").path, "corpus", "claims.toml").read_text())
    for recipe in spec.load_all():
        if recipe.paper not in claims:
            said = f"{recipe.slug}/recipe.toml: the corpus has no claims of the paper {recipe.paper}"
            yield checks.Warning(said, hint="Add them to papers/corpus/claims.toml.", id="reproduce.W001")
            continue
        known = {claim["slug"] for claim in claims[recipe.paper]}
        for measure in recipe.measures:
            if measure.claim and measure.claim not in known:
                said = f"{recipe.slug}/recipe.toml: {measure.name} names a claim {measure.claim!r} that "
                yield checks.Error(f"{said}{recipe.paper} does not make", id="reproduce.E002")
