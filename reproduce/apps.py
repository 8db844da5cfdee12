"""Has `manage.py check` name every fault of every recipe: a broken one never silently disappears."""

from django.apps import AppConfig
from django.core import checks

from reproduce.recipes import spec


class ReproduceConfig(AppConfig):
    name = "reproduce"

    def ready(self) -> None:
        checks.register(broken_recipes)


def broken_recipes(**_: object) -> list[checks.CheckMessage]:
    return [checks.Error(fault, id="reproduce.E001") for fault in spec.faults()]
