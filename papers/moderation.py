"""The one door through which papers and claims are born and changed: each change kept, public, undoable.

Every decision holds the corpus lock for its transaction, so nothing that it checked can have changed since.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.utils import timezone

from papers import identity, records
from papers.changes import Refused, begin, lock, record
from papers.changes import may_moderate as may_moderate  # part of what this module offers
from papers.facts import Facts
from papers.identifiers import LABELS
from papers.merging import filled
from papers.merging import merge_papers as merge_papers
from papers.models import Change, Claim, Entry, FormerKey, Paper, Technique
from papers.proposals import accept_proposal as accept_proposal
from papers.proposals import reject_proposal as reject_proposal
from papers.undoing import undo as undo


@transaction.atomic
def accept(
    entry: Entry, *, who: AbstractBaseUser, techniques: Iterable[Technique | str], why: str = ""
) -> Paper:
    """Make a paper of an entry. Refused when it is already here, decided, or invalid."""
    begin(who)
    entry = _pending(entry)
    if entry.found == Entry.Found.INCOMPLETE:
        raise Refused(f"Complete its metadata first. {entry.reason}")
    facts = Facts.from_json(entry.fields)
    facts.techniques = _known_techniques(techniques)
    if same := identity.match(facts):
        raise Refused(f"It is already here as “{same.paper.title}” ({same.why}); merge it with that paper.")
    facts.key = identity.make_key(facts, _taken_keys(facts))
    paper = records.insert([facts], Paper.Origin.COMMUNITY)[0]
    _decide(entry, Entry.Decision.ACCEPTED, who, why, paper)
    record("accept", paper, who=who, why=why, after=facts.to_json() | {"entry": entry.pk}).save()
    return paper


@transaction.atomic
def merge(entry: Entry, paper: Paper, *, who: AbstractBaseUser, why: str = "") -> Paper:
    """Take from an entry what `paper` lacks: identifiers and empty fields. Nothing is overwritten."""
    begin(who)
    entry = _pending(entry)
    paper = Paper.objects.get(pk=paper.pk)
    added = additions(Facts.from_json(entry.fields), paper)
    _refuse_taken(added.get("identifiers", []), paper)
    before, after = _change(paper, added)
    _decide(entry, Entry.Decision.MERGED, who, why, paper)
    record("merge", paper, who=who, why=why, before=before, after=after | {"entry": entry.pk}).save()
    return paper


def additions(facts: Facts, paper: Paper) -> dict[str, Any]:
    """What merging would give `paper`: new values of facts by name, for identifiers the whole new list."""
    here = Facts.of(paper)
    added = filled(here, facts)
    if new := [name for name in facts.identifiers if name not in here.identifiers]:
        added["identifiers"] = sorted(here.identifiers + new)
    return added


@transaction.atomic
def reject(entry: Entry, *, who: AbstractBaseUser, reason: str) -> None:
    """Turn an entry down, with the reason that its submitter will read."""
    begin(who)
    entry = _pending(entry, sound=False)
    if not reason.strip():
        raise Refused("Give the reason; the submitter will read it.")
    _decide(entry, Entry.Decision.REJECTED, who, reason.strip(), entry.paper)
    record("reject", entry, who=who, why=reason.strip(), before={}, after={"entry": entry.pk}).save()


@transaction.atomic
def reopen(entry: Entry, *, who: AbstractBaseUser, why: str) -> None:
    """Put a rejected entry back in the queue. Undoing the rejection does the same."""
    begin(who)
    entry = Entry.objects.get(pk=entry.pk)
    if entry.decision != Entry.Decision.REJECTED:
        raise Refused(
            "Only a rejected entry is reopened; undo the acceptance or merge in the paper's history."
        )
    rejection = Change.objects.filter(action="reject", after__entry=entry.pk, undone_by=None).first()
    undo(rejection, who=who, why=why)


@transaction.atomic
def edit(paper: Paper, values: Mapping[str, Any], *, who: AbstractBaseUser, why: str) -> Change:
    """Give a paper new values of some facts, by their names in Facts."""
    begin(who)
    if not why.strip():
        raise Refused("Say why; the change is public.")
    paper = Paper.objects.get(pk=paper.pk)
    if "techniques" in values:
        values = {**values, "techniques": _known_techniques(values["techniques"])}
    _refuse_taken(values.get("identifiers", []), paper)
    before, after = _change(paper, values)
    if not after:
        raise Refused("Nothing differs from what is already here.")
    change = record("edit", paper, who=who, why=why.strip(), before=before, after=after)
    change.save()
    return change


@transaction.atomic
def publish(facts: Facts, *, who: AbstractBaseUser | None, why: str, origin: str) -> Paper:
    """A paper straight from its facts. `who` may be None only for what is curated."""
    if who is None and origin == Paper.Origin.CURATED:
        lock()
    else:
        begin(who)
    if same := identity.match(facts):
        raise Refused(f"It is already here as “{same.paper.title}” ({same.why}).")
    facts.key = identity.make_key(facts, _taken_keys(facts))
    return publish_all([facts], who=who, why=why, origin=origin, action="publish")[0]


def publish_all(
    many: Sequence[Facts], *, who: AbstractBaseUser | None, why: str, origin: str, action: str
) -> list[Paper]:
    """Many papers that the caller, under lock(), knows to be new, with free keys."""
    papers = records.insert(many, origin)
    pairs = zip(papers, many, strict=True)
    Change.objects.bulk_create(
        [record(action, paper, who=who, why=why, after=facts.to_json()) for paper, facts in pairs],
        batch_size=records.BATCH,
    )
    return papers


def revise(paper: Paper, facts: Facts, *, why: str, action: str) -> None:
    """Bring a paper up to its corpus file; the caller is under lock()."""
    before, after = _change(paper, {**facts.to_json(), "key": paper.key})
    record(action, paper, who=None, why=why, before=before, after=after).save()


def publish_claims(claims: Sequence[Claim], *, why: str, action: str) -> None:
    """Many claims that the caller, under lock(), knows to be new."""
    Claim.objects.bulk_create(claims, batch_size=records.BATCH)
    Change.objects.bulk_create(
        [record(action, claim, who=None, why=why, after=records.claim_values(claim)) for claim in claims],
        batch_size=records.BATCH,
    )


def revise_claim(claim: Claim, values: Mapping[str, Any], *, why: str, action: str) -> None:
    """Bring a claim up to its corpus file; the caller is under lock()."""
    before, after = records.difference(records.claim_values(claim), values)
    records.update_claim(claim, after)
    record(action, claim, who=None, why=why, before=before, after=after).save()


def _change(paper: Paper, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    before, after = records.difference(Facts.of(paper).to_json(), values)
    if after:
        records.update(paper, after)
    return before, after


def _pending(entry: Entry, sound: bool = True) -> Entry:
    """The entry as it is now, if nobody has decided on it and, where it must be, it could be read."""
    entry = Entry.objects.select_related("decided_by", "paper", "submission").get(pk=entry.pk)
    if entry.decision != Entry.Decision.PENDING:
        by = entry.decided_by or "a moderator who has left"
        raise Refused(f"Already {entry.decision} by {by} on {entry.decided:%d %B %Y at %H:%M} UTC.")
    if sound and entry.found == Entry.Found.INVALID:
        raise Refused(
            "This entry could not be read, so it can only be rejected; send it again without the fault."
        )
    return entry


def _decide(entry: Entry, decision: str, who: AbstractBaseUser, why: str, paper: Paper | None) -> None:
    """Conditional, so that the lock is not all that keeps two moderators apart."""
    won = Entry.objects.filter(pk=entry.pk, decision=Entry.Decision.PENDING).update(
        decision=decision, decision_reason=why, decided_by=who, decided=timezone.now(), paper=paper
    )
    if not won:
        raise Refused("Somebody decided on this entry a moment ago; reload to see.")


def _known_techniques(techniques: Iterable[Technique | str]) -> list[str]:
    """Slugs in the order of the taxonomy."""
    wanted = {technique if isinstance(technique, str) else technique.slug for technique in techniques}
    known = [slug for slug in Technique.objects.values_list("slug", flat=True) if slug in wanted]
    if unknown := wanted - set(known):
        raise Refused(f"There is no technique {', '.join(sorted(unknown))}.")
    if not known:
        raise Refused("Choose at least one technique; without one nobody would find the paper.")
    return known


def _refuse_taken(names: Iterable[Sequence[str]], paper: Paper) -> None:
    for scheme, value in names:
        owner = identity.resolve(scheme, value)
        if owner and owner != paper:
            raise Refused(f"The {LABELS[scheme]} {value} names another paper here: “{owner.title}”.")


def _taken_keys(facts: Facts) -> Collection[str]:
    stem = identity.key_stem(facts)
    keys = (
        model.objects.filter(key__startswith=stem).values_list("key", flat=True)
        for model in (Paper, FormerKey)
    )
    return {key for some in keys for key in some}
