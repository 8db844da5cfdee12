"""Author lists: BibTeX's three ways of writing a name, read into "Last, First", and written back.

A name without a comma is one that has no first name: a group ("OpenAI Dota Team") or a single word.
"""

import re

from bibtexparser.middlewares.names import parse_single_name_into_parts, split_multiple_persons_names

from papers import latex

_SIMPLE = re.compile(r"[^\\{},~$]+, [^\\{},~$]+")


def read(value: str) -> tuple[str, bool]:
    """The authors of a BibTeX field as "Last, First and Last, First", and whether the list is complete.

    Raises ValueError with a sentence when a name cannot be read.
    """
    names = [name.strip() for name in split_multiple_persons_names(" ".join(value.split()))]
    complete = "others" not in names
    read_names = [_read_one(name) for name in names if name not in {"others", ""}]
    return " and ".join(name for name in read_names if name), complete


def write(authors: str, complete: bool) -> str:
    """The field's value, escaped; an incomplete list ends with "and others"."""
    names = [_write_one(name) for name in authors.split(" and ") if name]
    return " and ".join(names if complete else [*names, "others"])


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
    escaped = latex.escape(name)
    return f"{{{escaped}}}" if "," not in name and " " in name else escaped
