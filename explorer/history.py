"""The public history in words: which facts a change gave or took, old beside new."""

from dataclasses import dataclass

from django.db.models import Q

from papers.changes import CONTRIBUTION
from papers.models import Change

LABELS = {
    "by_author": "By an author of the paper",
    "authors_complete": "Author list complete",
    "code_url": "Code",
    "kind": "Type",
    "range_printed": "Range printed in the paper",
    "url": "Address",
}
# What a change keeps for its own use: what it decided on, and what undoing a merge of papers needs.
UNSHOWN = {"entry", "proposal", "notes", "former", "moved", "claims"}
# What says nothing when two papers are compared.
BOOKKEEPING = {"key", "authors_complete", "verified", "sources"}
VERBS = {
    "accept": "accepted",
    "claim": "claim added",
    "correct": "claim corrected",
    "edit": "edited",
    "load": "loaded",
    "merge": "merged",
    "merge_papers": "papers merged",
    "publish": "published",
    "reject": "rejected",
    "undo": "undone",
}


@dataclass(frozen=True)
class Row:
    """One fact; an empty side means that there was, or is, nothing."""

    label: str
    old: str
    new: str


@dataclass(frozen=True)
class Three:
    """One fact here, there, and here afterwards."""

    label: str
    here: str
    there: str
    after: str

    @property
    def differs(self):
        return bool(self.there) and self.there != self.here

    @property
    def gained(self):
        return self.after != self.here


def changes(key=""):
    """All changes, newest first; with a key those of that paper and its claims, also once it is gone."""
    found = Change.objects.select_related("paper", "who", "undone_by", "undoes")
    if key:
        named = Q(subject=f"paper {key}") | Q(subject__startswith=f"claim {key}/")
        found = found.filter(named | Q(paper__key=key))
    return found


def with_differences(found):
    """The changes with what a list says of each: verb, differences, and whether it can still be undone."""
    for change in found:
        change.verb = VERBS.get(change.action, change.action)
        change.differences = differences(change.before, change.after)
        elsewhere = change.subject.startswith(CONTRIBUTION)  # its own page takes it back
        change.undoable = change.action != "undo" and not hasattr(change, "undone_by") and not elsewhere
    return found


def differences(before, after):
    """What differs between two sets of facts by their names; None is the empty set."""
    old, new = _flat(before or {}), _flat(after or {})
    rows = (_row(name, old.get(name), new.get(name)) for name in {**new, **old})
    return [row for row in rows if row.old != row.new]


def beside(here, there, after):
    """Two sets of facts side by side, with what would become of the first: every fact that either has."""
    columns = [_flat(facts) for facts in (here, there, after)]
    names = [name for name in {**columns[0], **columns[1]} if name not in BOOKKEEPING]
    rows = (_three(name, *(facts.get(name) for facts in columns)) for name in names)
    return [row for row in rows if row.here or row.there]


def _three(name, *values):
    label = LABELS.get(name) or name.replace("_", " ").capitalize()
    return Three(label, *map(_text, values))


def _flat(facts):
    """`details` is one fact for each field in it."""
    flat = {name: value for name, value in facts.items() if name not in {"details", *UNSHOWN}}
    return flat | (facts.get("details") or {})


def _row(name, old, new):
    if isinstance(old, list) and isinstance(new, list):
        old, new = [item for item in old if item not in new], [item for item in new if item not in old]
    label = LABELS.get(name) or name.replace("_", " ").capitalize()
    return Row(label, _text(old), _text(new))


def _text(value):
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(":".join(item) if isinstance(item, list) else str(item) for item in value)
    return str(value)
