"""Two papers side by side, fact by fact, with the words that differ: are they one?"""

from dataclasses import dataclass
from difflib import SequenceMatcher

FACTS = {
    "title": "Title",
    "authors": "Authors",
    "year": "Year",
    "venue": "Venue",
    "identifiers": "Identifiers",
    "kind": "Type",
    "url": "Address",
    "abstract": "Abstract",
}
ALWAYS = {"title", "authors", "year", "identifiers"}
LONGEST = 400  # words compared; the rest of a long abstract is left out


@dataclass(frozen=True)
class Beside:
    """One fact as it is here and as it was sent: pieces of text, each with whether it differs."""

    label: str
    here: list[tuple[str, bool]]
    sent: list[tuple[str, bool]]


def compared(here, sent):
    """Rows for two Facts: what tells papers apart always, anything else where both have it and it differs."""
    rows = []
    for name, label in FACTS.items():
        one, other = _words(getattr(here, name)), _words(getattr(sent, name))
        if name in ALWAYS or (one and other and one != other):
            rows.append(Beside(label, *_marked(one, other)))
    return rows


def _words(value):
    if isinstance(value, list):
        return [":".join(name) for name in value]
    return str(value or "").split()[:LONGEST]


def _marked(one, other):
    """Both as pieces, the words that only one of them has marked."""
    here, sent = [], []
    for tag, i, j, k, m in SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        here += [(" ".join(one[i:j]), tag != "equal")] if j > i else []
        sent += [(" ".join(other[k:m]), tag != "equal")] if m > k else []
    return here, sent
