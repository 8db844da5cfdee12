"""References that are written in plain text, not in LaTeX: RIS, CSL-JSON, and identifiers alone."""

import re
from collections.abc import Set

from papers import latex, mentions, names
from papers.bibtex import Block, on_arxiv_alone
from papers.facts import Facts
from papers.identifiers import Name
from papers.reference import Interpreter, Reading


class RisInterpreter(Interpreter):
    """Fields as RIS has them; authors are already as they are stored."""

    remedies = {
        "title": "add a line TI  - with the title",
        "author": "add a line AU  - Last, First for each",
        "year": "add a line PY  - 2024",
        "not a year": "write PY  - 2024",
        "month": "write DA  - 2024/05//",
    }

    def text(self, name: str) -> str:
        value = self.fields.get(name)
        return latex.squeeze(value) if value else ""

    def verbatim(self, name: str) -> str:
        return self.text(name)

    def people(self, typed: str) -> tuple[str, bool]:
        listed = [latex.squeeze(person) for person in typed.split(" and ")]
        return " and ".join(
            person for person in listed if person not in {"", "others"}
        ), "others" not in listed


class CslInterpreter(RisInterpreter):
    remedies = {
        "title": 'add "title": "..."',
        "author": 'add "author": [{"family": "Last", "given": "First"}]',
        "year": 'add "issued": {"date-parts": [[2024]]}',
        "not a year": 'write "issued": {"date-parts": [[2024]]}',
        "month": 'write "issued": {"date-parts": [[2024, 5]]}',
    }


class HandInterpreter(RisInterpreter):
    """What somebody typed into a form; `problems` are pairs of a field and what to do about it."""

    remedies = {
        "title": "give its title",
        "author": "name at least one, or tick that nobody is named",
        "year": "give the year",
        "not a year": "write four digits",
        "month": "write 1 to 12",
    }

    def __init__(self, block: Block, reading: Reading, techniques: Set[str]) -> None:
        super().__init__(block, reading, techniques)
        self.problems: list[tuple[str, str]] = []

    def fault(self, name: str, sentence: str) -> None:
        super().fault(name, sentence)
        self.problems.append((name, f"{sentence[:1].upper()}{sentence[1:]}"))

    def note(self, name: str, sentence: str) -> None:
        """Here whoever typed it can still mend it, so nothing need be left out."""
        self.fault(name, sentence)

    def people(self, typed: str) -> tuple[str, bool]:
        """One on a line: "Last, First", "First Last", or a group in braces."""
        lines = [latex.squeeze(line).replace(" and ", " & ") for line in typed.splitlines()]
        return names.read(" and ".join(line for line in lines if line))


def read_by_hand(kind: str, fields: dict[str, str]) -> tuple[Facts, list[tuple[str, str]]]:
    """The facts of a form whose fields are named as in BibTeX, and what is wrong with it, field by field."""
    given = {name: value.replace("\0", " ") for name, value in fields.items()}
    block = Block("entry", 1, "", kind, fields=given)
    reading = Reading(1, "")
    interpreter = HandInterpreter(block, reading, frozenset())
    interpreter.read()
    return reading.facts, interpreter.problems


def read_mention(block: Block, reading: Reading) -> None:
    """An identifier says which paper it is, and perhaps its year; the rest is to be completed."""
    name = next(iter(block.fields.items()))
    year, month = _date(name)
    facts = Facts(identifiers=[list(name)], year=year, month=month)
    facts.url = name[1] if name[0] == "url" else ""
    facts.venue = "arXiv" if on_arxiv_alone(facts) else ""
    missing = "title and authors" if year else "title, authors and year"
    lacks = f"line {block.line}: only its {mentions.label(name)} is given; {missing} are to be completed."
    reading.facts, reading.faults, reading.lacks = facts, [lacks], [lacks]


def _date(name: Name) -> tuple[int | None, int | None]:
    """arXiv ids begin with year and month, ACL ids with the year: 2205.14135, hep-th/9901001, P19-1001."""
    scheme, value = name
    if scheme == "arxiv":
        digits = value.rpartition("/")[2]
        return _century(digits[:2]), int(digits[2:4])
    if scheme == "acl":
        return (int(value[:4]) if re.match(r"(?:19|20)\d\d\.", value) else _century(value[1:3])), None
    return None, None


def _century(digits: str) -> int | None:
    if not digits.isdigit():
        return None
    return int(digits) + (1900 if int(digits) > 60 else 2000)
