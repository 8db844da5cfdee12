"""What a person at a terminal sees: the list of recipes, a progress line, and the table of results."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reproduce.recipes.events import Events
from reproduce.recipes.spec import PRESETS, Recipe


class Watched(Events):
    """Events for somebody at a terminal: progress overwrites its own line, log lines stay."""

    def send(self, kind: str, /, **fields: Any) -> None:
        """Checks as every sender does, then shows progress and log."""
        super().send(kind, **fields)
        end = "\033[K\r" if sys.stderr.isatty() else "\n"
        if kind == "progress":
            print(f"{fields['fraction']:4.0%}  {fields['step']}", end=end, file=sys.stderr, flush=True)
        elif kind == "log":
            print(fields["text"], file=sys.stderr, flush=True)


def recipes(found: Sequence[Recipe]) -> str:
    """A table of the recipes: what each is about, what it needs, and its limit of time for each preset."""
    head = (
        "recipe",
        "version",
        "paper",
        "tier",
        "GPUs",
        *(f"{preset}, at most" for preset in PRESETS),
        "title",
    )
    rows = [
        (
            recipe.slug,
            str(recipe.version),
            recipe.paper,
            recipe.tier,
            f"{recipe.gpus} x {recipe.gpu_memory_gb:g} GB" if recipe.gpus else "none",
            *(f"{recipe.time_limit_s[preset]} s" for preset in PRESETS),
            recipe.title,
        )
        for recipe in found
    ]
    return table([head, *rows])


def outcome(recipe: Recipe, bundle: Mapping[str, Any], path: Path) -> str:
    """The results and guards of a finished run, and where its bundle lies."""
    labels = {measure.name: measure.label for measure in recipe.measures}
    head = ("measure", "value", "95 % interval", "unit", "predicted", "noise")
    rows = [
        (
            labels[metric["name"]],
            f"{metric['value']:.4g}",
            f"{metric['low']:.4g} to {metric['high']:.4g}",
            metric["unit"],
            "" if metric["predicted"] is None else f"{metric['predicted']:.4g}",
            "" if metric["noise"] is None else f"{metric['noise']:.2%}",
        )
        for metric in bundle["metrics"]
    ]
    guards = [
        (
            guard["name"],
            "passed" if guard["passed"] else "FAILED",
            f"{guard['value']:.3g}",
            f"{guard['limit']:.3g}",
        )
        for guard in bundle["guards"]
    ]
    ending = f"Failed: {bundle['failure']['message']}" if bundle["failure"] else "Finished."
    smoke = " A smoke run is never held against a claim." if bundle["preset"] == "smoke" else ""
    return "\n\n".join(
        [
            table([head, *rows]),
            table([("guard", "", "value", "limit"), *guards]),
            f"{ending}{smoke}\nBundle: {path}",
        ]
    )


def plain(text: str) -> str:
    """Text from a stranger's bundle without what could steer a terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as text in columns, the first row underlined."""
    rows = [[plain(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in [lines[0], "-" * min(110, len(lines[0])), *lines[1:]])
