"""Undoing one change: what it made is taken back, unless something was built on it since."""

from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import ProtectedError

from papers import merging, records
from papers.changes import CONTRIBUTION, Refused, Subject, begin, record
from papers.facts import Facts
from papers.models import Change, Claim, ClaimProposal, Entry, Paper


@transaction.atomic
def undo(change: Change, *, who: AbstractBaseUser, why: str) -> Change:
    """Take back one change, once. Returns the Change that did it; raises Refused."""
    begin(who)
    if not why.strip():
        raise Refused("Say why; the change is public.")
    change = Change.objects.select_related("paper").get(pk=change.pk)
    if earlier := Change.objects.filter(undoes=change).first():
        raise Refused(f"Already undone on {earlier.when:%d %B %Y at %H:%M} UTC.")
    if change.action == "undo":
        raise Refused("An undo is not undone; make the change again.")
    subject = _find(change)
    undone = record("undo", subject, who=who, why=why.strip(), before=change.after, after=change.before)
    if isinstance(subject, Paper):
        _undo_paper(change, subject)
    elif isinstance(subject, Claim):
        _undo_claim(change, subject)
    _reopen(change.after or {})
    undone.undoes = change
    if change.before is None:
        undone.paper = subject.paper if isinstance(subject, Claim) else None
    undone.save()
    return undone


def _find(change: Change) -> Subject:
    """What the change was about, by what its subject says."""
    kind, name = change.subject.split(" ", 1)
    if kind == CONTRIBUTION:
        raise Refused(f"This is taken back where it was decided, at /contributions/{name}.")
    if kind in ("paper", "claim"):
        _refuse_merged(change.paper, name.partition("/")[0])
    found = {
        "entry": lambda: Entry.objects.filter(pk=change.after["entry"]).first(),
        "proposal": lambda: ClaimProposal.objects.filter(pk=change.after["proposal"]).first(),
        "claim": lambda: Claim.objects.filter(paper=change.paper, slug=name.rpartition("/")[2]).first(),
        "paper": lambda: change.paper,
    }[kind]()
    if found is None:
        raise Refused(f"The {change.subject} is no longer here.")
    return found


def _refuse_merged(paper: Paper | None, key: str) -> None:
    """What a paper was before it was merged is undone when it stands by itself again."""
    if paper and paper.key != key:
        raise Refused(f"{key} was merged into “{paper.title}” since; undo that merge first.")


def _undo_paper(change: Change, paper: Paper) -> None:
    if change.before is not None:
        _restore_paper(change, paper)
        return
    later = paper.changes.filter(pk__gt=change.pk, undoes=None, undone_by=None)
    later = later.exclude(subject__startswith=CONTRIBUTION)  # of runs, which hold the paper themselves
    if paper.claims.exists() or later.exists():
        raise Refused("Claims or later changes hang on this paper; undo those first.")
    if paper.claim_proposals.exists():
        raise Refused("Readers proposed claims for this paper, and what they sent in stays; edit it instead.")
    _remove(paper, "Runs hang on this paper, and what was measured stays; it cannot be removed.")


def _restore_paper(change: Change, paper: Paper) -> None:
    _refuse_if_changed(change, Facts.of(paper).to_json())
    if change.action == merging.ACTION:
        merging.part(change, paper)
    if change.before:
        records.update(paper, change.before)


def _undo_claim(change: Change, claim: Claim) -> None:
    if change.before is None:
        _remove(claim, "A run was judged by this claim; it cannot be removed.")
        return
    _refuse_if_changed(change, records.claim_values(claim))
    records.update_claim(claim, change.before)


def _refuse_if_changed(change: Change, now: dict[str, Any]) -> None:
    changed = sorted(name for name in change.before or {} if now.get(name) != change.after[name])
    if changed:
        raise Refused(f"{', '.join(changed)} was changed again since; undo the later change first.")


def _remove(row: Paper | Claim, refusal: str) -> None:
    try:
        with transaction.atomic():
            row.delete()
    except ProtectedError as error:
        raise Refused(refusal) from error


def _reopen(after: dict[str, Any]) -> None:
    """The entry or the proposal that was decided on waits for a decision again."""
    waiting = {"decision": "pending", "decision_reason": "", "decided_by": None, "decided": None}
    Entry.objects.filter(pk=after.get("entry")).update(**waiting)
    ClaimProposal.objects.filter(pk=after.get("proposal")).update(**waiting)
