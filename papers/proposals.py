"""Claims from readers: proposed by anybody who is signed in, born or corrected when a moderator accepts."""

from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.utils import timezone

from papers import records
from papers.changes import Refused, begin, lock, record
from papers.metrics import METRICS
from papers.models import Claim, ClaimedNumber, ClaimProposal, Paper

FIELDS = [field.name for field in ClaimedNumber._meta.local_fields]
# A range holds its value, so none of the three is corrected without the others.
NUMBER = ("value", "low", "high")
PENDING, ACCEPTED, REJECTED = ClaimProposal.Decision.values


@transaction.atomic
def propose(
    paper: Paper,
    values: Mapping[str, Any],
    *,
    who: AbstractBaseUser,
    why: str,
    by_author: bool = False,
    corrects: Claim | None = None,
) -> ClaimProposal:
    """Keep a claim that a reader proposes; with `corrects` what that claim should say. Raises Refused.

    Without low and high the value is its own range. Proposing the same twice is proposing it once.
    """
    lock()
    values = whole(values)
    if found := list(faults(values, why)):
        raise Refused(" ".join(found))
    basis = _basis(paper, corrects)
    if basis and not changes(basis, values):
        raise Refused("Nothing differs from the claim as it stands.")
    same = {"paper": paper, "claim": corrects, "proposed_by": who, "decision": PENDING} | values
    if earlier := ClaimProposal.objects.filter(**same).first():
        return earlier
    return ClaimProposal.objects.create(**same, basis=basis, why=why.strip(), by_author=by_author)


@transaction.atomic
def accept_proposal(
    proposal: ClaimProposal, *, who: AbstractBaseUser, why: str = "", verified: bool = False
) -> Claim:
    """Make a claim of a proposal, or correct the claim that it is about. Raises Refused.

    `verified`: the moderator saw the number in a copy of the paper.
    """
    begin(who)
    proposal = _pending(proposal)
    make = _correct if proposal.is_correction else _bear
    claim, before, after = make(proposal, verified)
    _decide(proposal, ACCEPTED, who, why, claim)
    action = "correct" if proposal.is_correction else "claim"
    kept = {"proposal": proposal.pk} | ({"by_author": True} if proposal.by_author else {})
    record(action, claim, who=who, why=why or proposal.why, before=before, after=after | kept).save()
    return claim


@transaction.atomic
def reject_proposal(proposal: ClaimProposal, *, who: AbstractBaseUser, reason: str) -> None:
    """Turn a proposal down, with the reason that whoever sent it will read."""
    begin(who)
    proposal = _pending(proposal)
    if not reason.strip():
        raise Refused("Give the reason; whoever proposed it will read it.")
    _decide(proposal, REJECTED, who, reason.strip(), proposal.claim)
    kept = {"proposal": proposal.pk}
    record("reject", proposal, who=who, why=reason.strip(), before={}, after=kept).save()


def changes(basis: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """What a correction changes of the claim that it was made of."""
    _, changed = records.difference(basis, values)
    if any(name in changed for name in NUMBER):
        changed |= {name: values[name] for name in NUMBER}
    return changed


def proposed_values(proposal: ClaimProposal) -> dict[str, Any]:
    return {name: getattr(proposal, name) for name in FIELDS}


def standing(claim: Claim) -> dict[str, Any]:
    """What a claim says, in the terms of a proposal."""
    return {name: getattr(claim, name) for name in FIELDS}


def whole(values: Mapping[str, Any]) -> dict[str, Any]:
    """With what follows from the rest: the range, and what the vocabulary says of the metric."""
    values = {"range_printed": False, "baseline": "", "setting": "", **values}
    metric = METRICS.get(values["metric"])
    if metric:
        values["kind"] = metric.kind
        values["unit"] = values.get("unit") or metric.unit or metric.name
        values["better"] = values.get("better") or metric.better
    for end in ("low", "high"):
        if values.get(end) is None:
            values[end] = values["value"]
    return values


def faults(values: Mapping[str, Any], why: str) -> Iterator[str]:
    """What is wrong with values that are whole(), a sentence each."""
    if values["metric"] not in METRICS:
        yield f"There is no metric {values['metric']}; choose one of the vocabulary."
    if not all(isfinite(values[name]) for name in NUMBER):
        yield "Value and range must be numbers."
    elif not values["low"] <= values["value"] <= values["high"]:
        yield "The range must hold the value: low ≤ value ≤ high."
    if not values["locator"].strip():
        yield "Say where the paper says so: a table, a figure, a section."
    if not why.strip():
        yield "Say why; a moderator reads it, and it becomes public."


def _basis(paper: Paper, corrects: Claim | None) -> dict[str, Any] | None:
    if corrects is None:
        return None
    claim = Claim.objects.filter(pk=corrects.pk, paper=paper).first()
    if claim is None:
        raise Refused("The claim that you correct is no longer here; propose it as a new one.")
    return standing(claim)


def _bear(proposal: ClaimProposal, verified: bool) -> tuple[Claim, None, dict[str, Any]]:
    claim = Claim(
        paper=proposal.paper,
        slug=free_slug(proposal.metric, proposal.paper.claims.values_list("slug", flat=True)),
        position=proposal.paper.claims.count(),
        verified=verified,
        provenance=Claim.Provenance.COMMUNITY,
        **proposed_values(proposal),
    )
    claim.save()
    return claim, None, records.claim_values(claim)


def _correct(proposal: ClaimProposal, verified: bool) -> tuple[Claim, dict[str, Any], dict[str, Any]]:
    claim = proposal.claim
    if claim is None:
        raise Refused("The claim that it corrects is no longer here; it can only be rejected.")
    wanted = changes(proposal.basis, proposed_values(proposal))
    now = standing(claim)
    moved = [name for name in wanted if now[name] not in (proposal.basis[name], wanted[name])]
    if moved:
        what = ", ".join(name.replace("_", " ") for name in moved)
        raise Refused(f"The claim's {what} was changed since this was proposed; reject it and say so.")
    if verified:
        wanted["verified"] = True
    before, after = records.difference(records.claim_values(claim), wanted)
    if not after:
        raise Refused("The claim says so already; reject the proposal with that reason.")
    records.update_claim(claim, after)
    return claim, before, after


def free_slug(metric: str, taken: Any) -> str:
    """ "speedup_x", "speedup_x-2": a claim's name within its paper."""
    taken, number = set(taken), 1
    while (slug := metric if number == 1 else f"{metric}-{number}") in taken:
        number += 1
    return slug


def _pending(proposal: ClaimProposal) -> ClaimProposal:
    found = ClaimProposal.objects.select_related("decided_by", "paper", "claim__paper").get(pk=proposal.pk)
    if found.decision != PENDING:
        by = found.decided_by or "a moderator who has left"
        raise Refused(f"Already {found.decision} by {by} on {found.decided:%d %B %Y at %H:%M} UTC.")
    return found


def _decide(
    proposal: ClaimProposal, decision: str, who: AbstractBaseUser, why: str, claim: Claim | None
) -> None:
    """Conditional, so that the lock is not all that keeps two moderators apart."""
    won = ClaimProposal.objects.filter(pk=proposal.pk, decision=PENDING).update(
        decision=decision, decision_reason=why, decided_by=who, decided=timezone.now(), claim=claim
    )
    if not won:
        raise Refused("Somebody decided on this proposal a moment ago; reload to see.")
