"""One decision on many entries, entry by entry. The dry run is the run itself, taken back: it cannot err."""

from dataclasses import dataclass

from django.db import transaction

from explorer.history import differences
from papers import identity, moderation
from papers.facts import Facts
from papers.models import Entry, Paper


@dataclass(frozen=True)
class Outcome:
    """What becomes of one entry. `done` is false where it is refused; `said` tells how or why not."""

    entry: Entry
    title: str
    done: bool
    said: str
    paper: Paper | None = None


def try_out(entries, action, **given):
    """What would happen to each, one after the other. Nothing of it stays."""
    with transaction.atomic():
        outcomes = [_outcome(entry, action, given) for entry in entries]
        transaction.set_rollback(True)
    return outcomes


def carry_out(entries, action, **given):
    """Decide on each in a transaction of its own: one that is refused holds up no other."""
    return [_outcome(entry, action, given) for entry in entries]


def _outcome(entry, action, given):
    facts = Facts.from_json(entry.fields)
    title = facts.title or "(no title read)"
    try:
        said, paper = ACTIONS[action](entry, facts, **given)
        return Outcome(entry, title, True, said, paper)
    except moderation.Refused as refused:
        return Outcome(entry, title, False, str(refused))


def _accept(entry, facts, *, who, techniques, why):
    """With the techniques that were ticked; without any, with those that the entry names itself."""
    (twin,) = [None] if identity.match(facts) else identity.suspect_all([facts])
    if twin:
        raise moderation.Refused(f"It may be “{twin.paper.title}” ({twin.why}): decide on it by itself.")
    paper = moderation.accept(entry, who=who, techniques=techniques or facts.techniques, why=why)
    names = ", ".join(paper.techniques.values_list("name", flat=True))
    return f"a new paper, {paper.key}, under {names}", paper


def _merge(entry, facts, *, who, techniques, why):
    found = identity.match(facts)
    if found is None:
        raise moderation.Refused(
            "No paper here is known to be the same; accept it, or name the paper by hand."
        )
    here = Facts.of(found.paper).to_json()
    added = [row.label for row in differences(here, here | moderation.additions(facts, found.paper))]
    paper = moderation.merge(entry, found.paper, who=who, why=why)
    gives = f"adds {', '.join(added).lower()}" if added else "has nothing that the paper lacks"
    return f"into “{paper.title}” ({found.why}); {gives}", paper


def _reject(entry, facts, *, who, techniques, why):
    moderation.reject(entry, who=who, reason=why)
    return "with your reason", None


ACTIONS = {"accept": _accept, "merge": _merge, "reject": _reject}
