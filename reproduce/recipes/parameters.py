"""The parameters of a recipe: their declaration, and reading what people type for them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from reproduce.recipes.schema import every, number, one_of, record, text, whole

NAME = r"[a-z][a-z0-9_]*"
TRUE, FALSE = {"true", "yes", "on", "1"}, {"false", "no", "off", "0"}

_ANY = {"smoke": lambda value, place: iter(()), "full": lambda value, place: iter(())}
_FIELDS = record(
    {"help": text(300, r".+"), "type": one_of("int", "float", "int_list", "choice", "bool"), **_ANY},
    {
        "min": number(),
        "max": number(),
        "max_items": whole(1, 1000),
        "choices": every(text(60, r"\S+"), 50, least=1),
    },
    {
        "help": 'help = "Sequences in a batch"',
        "type": 'type = "int"',
        "smoke": "smoke = 2, the value of the small preset",
        "full": "full = 64, the value that the claim is held against",
    },
)
_EXTRAS = {
    "int": {"min", "max"},
    "float": {"min", "max"},
    "int_list": {"min", "max", "max_items"},
    "choice": {"choices"},
    "bool": set(),
}


class ParameterError(ValueError):
    """Refused parameters; `faults` maps each name to one sentence for the reader."""

    def __init__(self, faults: Mapping[str, str]) -> None:
        self.faults = dict(faults)
        super().__init__(" ".join(f"{name}: {sentence}" for name, sentence in self.faults.items()))


@dataclass(frozen=True)
class Parameter:
    """One parameter with its default for each preset; bounds hold for each item of a list."""

    name: str
    help: str
    type: str
    smoke: Any
    full: Any
    min: float | None = None
    max: float | None = None
    max_items: int = 32
    choices: tuple[str, ...] = ()

    @classmethod
    def build(cls, name: str, given: Mapping[str, Any]) -> "Parameter":
        """From its table in recipe.toml, already checked."""
        return cls(name=name, **{**given, "choices": tuple(given.get("choices", ()))})

    def default(self, preset: str) -> Any:
        """Its value in that preset, "smoke" or "full"; a list is a fresh copy."""
        value = {"smoke": self.smoke, "full": self.full}[preset]
        return list(value) if isinstance(value, list) else value

    def parse(self, value: object) -> Any:
        """The value that a person typed ("128, 256") or a program sent ([128, 256]).

        Raises ValueError with one sentence for the reader.
        """
        if self.type == "int_list":
            return self._list(value)
        if self.type == "choice":
            return self._choice(value)
        if self.type == "bool":
            return _flag(value)
        return self._number(value, int if self.type == "int" else float)

    def _number(self, value: object, kind: type[int] | type[float]) -> Any:
        wanted = "a whole number" if kind is int else "a number"
        try:
            typed = kind(value.strip()) if isinstance(value, str) else value
        except ValueError:
            typed = None
        if isinstance(typed, bool) or not isinstance(typed, int if kind is int else int | float):
            raise ValueError(f"Enter {wanted} instead of {str(value)[:40]!r}.")
        low, high = (-1e300 if self.min is None else self.min), (1e300 if self.max is None else self.max)
        if not low <= typed <= high:
            raise ValueError(f"Enter {wanted} from {low:g} to {high:g} instead of {str(value)[:40]}.")
        return kind(typed)

    def _list(self, value: object) -> list[int]:
        items = re.split(r"[\s,;]+", value.strip(" \t\r\n,;[]")) if isinstance(value, str) else value
        if not isinstance(items, list | tuple) or not items or len(items) > self.max_items:
            raise ValueError(f"Enter 1 to {self.max_items} whole numbers with commas between them.")
        return [self._number(item, int) for item in items]

    def _choice(self, value: object) -> str:
        if not isinstance(value, str) or value.strip() not in self.choices:
            raise ValueError(f"Choose one of {', '.join(self.choices)} instead of {str(value)[:40]!r}.")
        return value.strip()


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    typed = value.strip().lower() if isinstance(value, str) else ""
    if typed not in TRUE | FALSE:
        raise ValueError(f"Enter true or false instead of {str(value)[:40]!r}.")
    return typed in TRUE


def parameter_faults(tables: Any, place: str) -> Iterator[str]:
    """Every fault of the [parameters] tables of a recipe.toml, defaults included."""
    if not isinstance(tables, dict):
        yield f"{place} must be a table of tables: write [{place}.NAME] for each parameter"
        return
    for name, given in tables.items():
        here = f"{place}.{name}"
        yield from text(40, NAME, "a lower-case name such as head_dim")(name, here)
        found = list(_FIELDS(given, here))
        yield from found or _default_faults(Parameter.build(name, given), given, here)


def _default_faults(parameter: Parameter, given: Mapping[str, Any], place: str) -> Iterator[str]:
    for key in sorted(given.keys() & {"min", "max", "max_items", "choices"} - _EXTRAS[parameter.type]):
        takers = ", ".join(kind for kind, extras in _EXTRAS.items() if key in extras)
        yield f"{place}.{key} has no meaning for the type {parameter.type!r}: remove it; it is for {takers}"
    if parameter.type == "choice" and not parameter.choices:
        yield f"{place}.choices is missing; add, for example: choices = [{parameter.smoke!r}, ...]"
    for preset in ("smoke", "full"):
        value = parameter.default(preset)
        try:
            if isinstance(value, str) and parameter.type != "choice":
                raise ValueError("Write it as a TOML value of its type, not as text.")
            parameter.parse(value)
        except ValueError as error:
            yield f"{place}.{preset}: {error}"
