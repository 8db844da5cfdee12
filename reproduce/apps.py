"""Has `manage.py check` name every fault of every recipe: a broken one never silently disappears."""

from collections.abc import Iterator

from django.apps import AppConfig
from django.core import checks

from reproduce.recipes import claims, spec


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
    for recipe in spec.load_all():
        if not claims.of(recipe.paper):
            said = f"{recipe.slug}/recipe.toml: the corpus has no claims of the paper {recipe.paper}"
            yield checks.Warning(said, hint="Add them to papers/corpus/claims.toml.", id="reproduce.W001")
        else:
            yield from (checks.Error(fault, id="reproduce.E002") for fault in claims.faults(recipe))
