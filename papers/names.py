"""Author lists: BibTeX's three ways of writing a name, read into "Last, First", and written back.

A name without a comma is one that has no first name: a group ("OpenAI Dota Team") or a single word.
"""

import re
from typing import NamedTuple

from bibtexparser.middlewares.names import parse_single_name_into_parts, split_multiple_persons_names

from papers import latex

_BARE_COMMAND = re.compile(r"(\\text[a-z]+)\{\}|(\\[$&#%_])")
# bibtexparser would lose the command that a name begins with.
_COMMAND_AHEAD = re.compile(r"(?<=\s)(and\s+)(?=\\)", re.IGNORECASE)
_SEPARATOR = re.compile(r"(?<!\S)(and)(?!\S)", re.IGNORECASE)
_SIMPLE = re.compile(r"(?!.*(?:--|``|''))[^\\{},~$]+, [^\\{},~$]+")


class Name(NamedTuple):
    """A person's name in its parts: "van", "Sum", "Ludwig", "IV"; a group has its whole name in `literal`."""

    particle: str = ""
    family: str = ""
    given: str = ""
    suffix: str = ""
    literal: str = ""


def parts(name: str) -> Name:
    """The parts of "van Sum, Ludwig", of "Sum, IV, Lu" or of "The Sums Group"."""
    last, *others = [part.strip() for part in name.split(",")]
    if not others:
        return Name(literal=last)
    words = last.split(" ")
    lower = next((at for at, word in enumerate(words) if not word[:1].islower()), 0)
    return Name(
        particle=" ".join(words[:lower]),
        family=" ".join(words[lower:]),
        given=others[-1],
        suffix=", ".join(others[:-1]),
    )


def inverted(name: str) -> str:
    """ "van Sum, Ludwig, IV", as RIS and reference managers want it; a group as it is."""
    if name.count(",") < 2:  # without a suffix it is written like that
        return name
    part = parts(name)
    family = f"{part.particle} {part.family}".strip()
    return part.literal or ", ".join(filter(None, [family, part.given, part.suffix]))


def spoken(name: str) -> str:
    """ "Ludwig van Sum, IV"; a group as it is."""
    part = parts(name)
    said = " ".join(filter(None, [part.given, part.particle, part.family]))
    return part.literal or ", ".join(filter(None, [said, part.suffix]))


def read(value: str) -> tuple[str, bool]:
    """The authors of a BibTeX field as "Last, First and Last, First", and whether the list is complete.

    Raises ValueError with a sentence when a name cannot be read.
    """
    value = " ".join(value.split())
    if plainly := _read_plain(value):
        return plainly, True
    value = _COMMAND_AHEAD.sub(r"\1{}", value)
    names = [name.strip() for name in split_multiple_persons_names(value)]
    complete = "others" not in names
    read_names = [_read_one(name) for name in names if name not in {"others", ""}]
    return " and ".join(name for name in read_names if name), complete


def write(authors: str, complete: bool) -> str:
    """The field's value, escaped; an incomplete list ends with "and others"."""
    names = [_write_one(name) for name in authors.split(" and ") if name]
    return " and ".join(names if complete else [*names, "others"])


def _read_plain(value: str) -> str:
    """Most lists: "Last, First and Last, First" without any LaTeX, which are stored as they stand."""
    names = value.split(" and ")
    if len(_SEPARATOR.findall(value)) == len(names) - 1 and all(map(_SIMPLE.fullmatch, names)):
        return latex.squeeze(value)
    return ""


def _read_one(name: str) -> str:
    if _SIMPLE.fullmatch(name):
        return latex.squeeze(name)
    if _is_group(name):
        return latex.plain(name).replace(" and ", " & ").replace(",", "")
    try:
        parts = parse_single_name_into_parts(name, strict=False)
    except (IndexError, ValueError) as error:
        raise ValueError(f'the name "{name[:60]}" cannot be read; write "Last, First"') from error
    return ", ".join(text for text in map(latex.plain, parts.merge_last_name_first.split(", ")) if text)


def _is_group(name: str) -> bool:
    """{All of it} in one pair of braces."""
    inner = name[1:-1]
    return name.startswith("{") and name.endswith("}") and "{" not in inner and "}" not in inner


def _write_one(name: str) -> str:
    # {\command}, as readers of names expect it; and a word that would separate two names is no separator.
    escaped = _SEPARATOR.sub(r"{\1}", _BARE_COMMAND.sub(r"{\1\2}", latex.escape(name)))
    group = "," not in name and (" " in name or name.lower() == "others")
    return f"{{{escaped}}}" if group else escaped
