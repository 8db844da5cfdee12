"""What somebody typed, as a tree of terms: words, "phrases", begin*, -not, `or`, and fields such as author:.

Every word stays as it was typed; how the language stems it is for PostgreSQL to say.
"""

import re
from dataclasses import dataclass

from django.http import QueryDict

TEXT_FIELDS = ("author", "title")
TAG_FIELDS = ("axis", "technique", "venue", "year")
FIELDS = TEXT_FIELDS + TAG_FIELDS
SHORTEST_BEGINNING = 3  # letters before a *: fewer begin half the dictionary
MOST_TERMS = 40
_TOKEN = re.compile(r'(-?)(?:([a-z]+):)?(?:"([^"]*)"?|([^\s"]+))', re.IGNORECASE)


class UnreadableError(ValueError):
    """A sentence about what was typed, and the remedy."""


@dataclass(frozen=True)
class Term:
    """One condition. `field` is empty for words anywhere; `begins` is for begin*.

    `values` are what the text of a tag's field means: slugs, names of venues, or the ends of a span of years.
    """

    text: str
    field: str = ""
    phrase: bool = False
    begins: bool = False
    negated: bool = False
    values: tuple = ()


Alternatives = tuple[tuple[Term, ...], ...]  # any of them; all terms of each


def read(text: str) -> Alternatives:
    """The alternatives of a query; none for an empty one. Raises UnreadableError."""
    alternatives: list[list[Term]] = [[]]
    for found in _TOKEN.finditer(text):
        if found[0].lower() == "or":
            alternatives.append([])
        else:
            alternatives[-1] += _terms(*found.groups())
    if sum(map(len, alternatives)) > MOST_TERMS:
        raise UnreadableError(f"That is more than {MOST_TERMS} words: leave some out.")
    return tuple(tuple(each) for each in alternatives if each)


def as_typed(data: QueryDict) -> QueryDict:
    """The query of somebody who is still typing: their last word may only be the beginning of one."""
    if "typing" not in data:
        return data
    asked = data.copy()
    del asked["typing"]
    if re.search(rf"(?:^|[\s:])[^\W\d_][\w-]{{{SHORTEST_BEGINNING - 1},}}$", asked.get("q", "")):
        asked["q"] += "*"
    return asked


def _terms(minus: str, field: str | None, phrase: str | None, word: str | None) -> list[Term]:
    field = (field or "").lower()
    if word and word.endswith(":") and word[:-1].lower() in FIELDS:
        field, word = word[:-1].lower(), None
    if field and field not in FIELDS:  # a colon in a title, as in "BERT: pre-training"
        word, phrase = (f"{field} {word}" if word else None), (f"{field} {phrase}" if phrase else None)
        field = ""
    text = (phrase or word or "").strip()
    if not text or not re.search(r"\w", text):
        if field:
            raise UnreadableError(f'Nothing follows "{field}:"; write for example {field}:{EXAMPLES[field]}.')
        return []
    begins = not phrase and field not in TAG_FIELDS and text.endswith("*")
    if begins and len(text.rstrip("*")) < SHORTEST_BEGINNING:
        raise UnreadableError(f'"{text}" begins too many words: give {SHORTEST_BEGINNING} letters or more.')
    return [Term(text.rstrip("*") if begins else text, field, bool(phrase), begins, bool(minus))]


EXAMPLES = {
    "author": '"van der Maaten"',
    "title": "attention",
    "axis": "inference",
    "technique": "lora",
    "venue": "ICLR",
    "year": "2022..2024",
}
