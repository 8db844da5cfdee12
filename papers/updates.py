"""Changes of papers that sources suggest: made once, decided once, carried out through moderation."""

import hashlib
import json
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.utils import timezone

from papers import bibtex, moderation
from papers.changes import Refused, begin
from papers.facts import Facts
from papers.models import Change, Paper, Update

State = Update.State


def propose(paper: Paper, values: dict[str, Any], source: str) -> Update | None:
    """That these facts replace the paper's; None when it was made before or nothing differs.

    Identifiers are those that the paper would gain.
    """
    here = Facts.of(paper).to_json()
    after = {name: value for name, value in values.items() if name == "identifiers" or here[name] != value}
    after["identifiers"] = [name for name in values.get("identifiers", []) if name not in here["identifiers"]]
    if not after["identifiers"]:
        del after["identifiers"]
    if not after:
        return None
    before = {name: [] if name == "identifiers" else here[name] for name in after}
    digest = hashlib.sha256(json.dumps(after, sort_keys=True).encode()).hexdigest()
    made = {"before": before, "after": after, "source": source}
    update, created = Update.objects.get_or_create(paper=paper, digest=digest, defaults=made)
    return update if created else None


def published(paper: Paper, doi: str, record: Facts | None, source: str) -> Update | None:
    """That a preprint appeared under a DOI; with its venue when the record of the DOI is there."""
    alone = {"identifiers": [["doi", doi]]}
    known = paper.updates.filter(after__contains=alone)
    if not record or not record.venue or not bibtex.on_arxiv_alone(Facts.of(paper)):
        return None if known.exists() else propose(paper, alone, source)
    made = propose(paper, alone | {"venue": record.venue, "kind": record.kind}, source)
    if made:  # it says all that the DOI alone said
        known.filter(state=State.PENDING, after=alone).delete()
    return made


@transaction.atomic
def accept(update: Update, *, who: AbstractBaseUser, why: str) -> Change:
    """Carry it out as an edit, which the history keeps and can undo. Raises Refused."""
    begin(who)
    update = _pending(update)
    here = Facts.of(update.paper).to_json()
    stale = [name for name, value in update.before.items() if name != "identifiers" and here[name] != value]
    if stale:
        raise Refused(
            f"{', '.join(stale)} was changed since this was seen; decline it or edit the paper by hand."
        )
    values = dict(update.after)
    if gained := values.get("identifiers"):
        values["identifiers"] = sorted(map(list, {tuple(name) for name in here["identifiers"] + gained}))
    change = moderation.edit(update.paper, values, who=who, why=why.strip() or update.source)
    _decide(update, State.ACCEPTED, who, why.strip(), change)
    return change


@transaction.atomic
def decline(update: Update, *, who: AbstractBaseUser, reason: str) -> None:
    """Turn it down; the same one does not come back. Raises Refused."""
    begin(who)
    update = _pending(update)
    if not reason.strip():
        raise Refused("Give the reason; other moderators will read it.")
    _decide(update, State.DECLINED, who, reason.strip(), None)


def _pending(update: Update) -> Update:
    update = Update.objects.select_related("paper", "decided_by").get(pk=update.pk)
    if update.state != State.PENDING:
        by = update.decided_by or "a moderator who has left"
        raise Refused(f"Already {update.state} by {by} on {update.decided:%d %B %Y at %H:%M} UTC.")
    return update


def _decide(update: Update, state: str, who: AbstractBaseUser, reason: str, change: Change | None) -> None:
    """Conditional, so that the lock is not all that keeps two moderators apart."""
    won = Update.objects.filter(pk=update.pk, state=State.PENDING).update(
        state=state, decided_by=who, decided=timezone.now(), reason=reason, change=change
    )
    if not won:
        raise Refused("Somebody decided on this a moment ago; reload to see.")
