"""What the recipes' own tests ask for: a recipe's modules by name, and a context that keeps what is reported."""

import importlib

import pytest
import torch

from reproduce.recipes import spec
from reproduce.recipes.context import Context
from reproduce.recipes.events import Events


def part(slug, module="run"):
    """A module of a recipe's folder, whose name Python's import statement cannot say."""
    return importlib.import_module(f"reproduce.recipes.{slug}.{module}")


def context_of(slug, **parameters):
    """A run of the small preset on the CPU that nobody watches; `parameters` override the preset's."""
    recipe = spec.load(slug)
    torch.manual_seed(1234)
    return Context(recipe, "smoke", recipe.parameters("smoke", parameters), torch.device("cpu"), Events())


def failed(context):
    """Names of the guards that did not pass; noise of a shared CPU says nothing about the recipe."""
    return {g["name"] for g in context.guards if not g["passed"] and not g["name"].startswith("quiet_")}


def value(context, name):
    """The value that was reported for a measure."""
    return next(metric["value"] for metric in context.metrics if metric["name"] == name)


@pytest.fixture(autouse=True)
def few_threads():
    """Two threads, as on the smallest machine that this is for."""
    before = torch.get_num_threads()
    torch.set_num_threads(min(2, before))
    yield
    torch.set_num_threads(before)
