"""Bundles from machines that are not ours: sent in, decided on by a moderator, and never mixed with our own.

An accepted one becomes a run of its own origin. Every decision is a public Change and can be taken back.
"""

import gzip
import hashlib
import json
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from papers.changes import CONTRIBUTION, may_moderate
from papers.models import Change
from reproduce import bundles, catalogue, naming
from reproduce.admission import AS_WRITTEN, admit
from reproduce.admission import Refused as Refused  # part of what this module offers
from reproduce.evidence import finished_run, measurements_of, store_measurements
from reproduce.models import Contribution, Measurement, Run, RunEvent
from reproduce.recipes import bundle
from reproduce.recipes.spec import Recipe

PENDING, ACCEPTED, REJECTED = Contribution.Decision.values
LONGEST_FILENAME = Contribution._meta.get_field("filename").max_length


class AlreadyHere(Refused):
    """These very bytes were sent before; `address` is where they stand, for those who may see it."""

    def __init__(self, told: str, address: str) -> None:
        super().__init__(told)
        self.address = address


def offer(raw: bytes, *, who: AbstractBaseUser, filename: str = "", note: str = "") -> Contribution:
    """Keep a bundle for the moderators, byte for byte. Raises Refused; AlreadyHere for what came before."""
    if len(raw) > bundle.SIZE_LIMIT:
        most = bundle.SIZE_LIMIT // 2**20
        raise Refused(f"The bundle is larger than {most} MiB, the most that a recipe writes. {AS_WRITTEN}")
    _refuse_known(hashlib.sha256(raw).hexdigest(), who)
    report, recipe = admit(raw)
    kept = bundles.pack(raw)
    try:
        with transaction.atomic():
            return Contribution.objects.create(
                **kept,
                recipe=recipe.slug,
                device_name=report["device"]["name"],
                filename=filename[:LONGEST_FILENAME],
                note=note.strip(),
                sent_by=who,
            )
    except IntegrityError:  # the same bytes came twice at the same moment
        _refuse_known(kept["bundle_sha256"], who)
        raise


def accept(contribution: Contribution, *, who: AbstractBaseUser, why: str = "") -> Run:
    """Make a run of it, judged like any other and shown apart. Raises Refused."""
    with transaction.atomic():
        held = _held(contribution, who, PENDING)
        if run := Run.objects.filter(bundle_sha256=held.bundle_sha256).first():
            raise Refused(f"This bundle is here already as run {run.pk}. Reject it, and say so.")
        report, recipe = opened(held), _recipe(held)
        if told := bundles.misfit(report, recipe):
            raise Refused(f"The recipe was changed since this was sent: {told}. Reject it, and say so.")
        run = _run(held, report, recipe)
        run.save()
        store_measurements(run, report)
        sender = held.sent_by.get_username() if held.sent_by else "somebody who has left"
        told = naming.CONTRIBUTED.format(sender) + (f": {why.strip()}" if why.strip() else "")
        RunEvent.objects.create(
            run=run, at=Now(), attempt=1, status=run.status, who=who.get_username(), why=told
        )
        _decide(held, ACCEPTED, who, why, run)
        _change("accept", held, who, why, PENDING, ACCEPTED).save()
    return run


def reject(contribution: Contribution, *, who: AbstractBaseUser, reason: str) -> None:
    """Turn it down, with a reason that its sender reads. Raises Refused."""
    with transaction.atomic():
        held = _held(contribution, who, PENDING)
        _decide(held, REJECTED, who, _needed(reason, "Give the reason; the sender reads it."))
        _change("reject", held, who, reason, PENDING, REJECTED).save()


def take_back(contribution: Contribution, *, who: AbstractBaseUser, why: str) -> None:
    """Undo the decision: it waits again, and the run that it had become is gone. Raises Refused."""
    with transaction.atomic():
        held = _held(contribution, who, ACCEPTED, REJECTED)
        _needed(why, "Say why; the change is public.")
        change = _change("undo", held, who, why, held.decision, PENDING)
        change.undoes = history(held).exclude(action="undo").first()
        run = held.run
        _decide(held, PENDING, None, "")
        if run:
            run.delete()
        change.save()


def visible_to(user: AbstractBaseUser) -> QuerySet[Contribution]:
    """Accepted ones are everybody's; the others are seen by whoever sent them and by the moderators."""
    found = Contribution.objects.select_related("sent_by", "decided_by").defer("bundle")
    if may_moderate(user):
        return found
    return found.filter(Q(decision=ACCEPTED) | Q(sent_by=user.pk, sent_by__isnull=False))


def of(user: AbstractBaseUser) -> QuerySet[Contribution]:
    """Those that this user sent."""
    return visible_to(user).filter(sent_by=user)


def history(contribution: Contribution) -> QuerySet[Change]:
    """What was decided about it, the newest first."""
    return Change.objects.filter(subject=_subject(contribution)).select_related("who").order_by("-pk")


def raw(contribution: Contribution) -> bytes:
    """The very bytes that were sent."""
    return gzip.decompress(contribution.bundle)


def opened(contribution: Contribution) -> dict[str, Any]:
    """The report in its bundle, which was checked when it was sent."""
    return json.loads(raw(contribution))


def judged(contribution: Contribution, report: dict[str, Any]) -> list[Measurement]:
    """What it measured, with the verdicts it has or would get; empty if its recipe or paper is gone."""
    if contribution.run_id:
        return list(contribution.run.measurements.select_related("claim"))
    try:
        recipe = _recipe(contribution)
    except Refused:
        return []
    return measurements_of(_run(contribution, report, recipe), report)


def _run(contribution: Contribution, report: dict[str, Any], recipe: Recipe) -> Run:
    """The run that it would be, unsaved."""
    return finished_run(
        report,
        recipe,
        catalogue.paper_of(recipe),
        origin=Run.Origin.CONTRIBUTED,
        requested_by=contribution.sent_by,
        bundle=contribution.bundle,
        bundle_sha256=contribution.bundle_sha256,
    )


def _recipe(contribution: Contribution) -> Recipe:
    recipe = catalogue.recipe(contribution.recipe)
    if recipe is None or catalogue.paper_of(recipe) is None:
        raise Refused(f"The recipe {contribution.recipe}, or its paper, is no longer here. Restore it first.")
    return recipe


def _refuse_known(sha256: str, who: AbstractBaseUser) -> None:
    """A bundle counts once. Whose it was is nobody else's business until it is accepted."""
    sent = Contribution.objects.filter(bundle_sha256=sha256).defer("bundle").first()
    run = Run.objects.filter(bundle_sha256=sha256).only("pk").first()
    if run:
        raise AlreadyHere(
            f"This bundle is here already as run {run.pk}. Look at /runs/{run.pk}.", run.get_absolute_url()
        )
    if sent is None:
        return
    stands = "waits for a moderator" if sent.decision == PENDING else f"was {sent.decision}"
    if visible_to(who).filter(pk=sent.pk).exists():
        where = sent.get_absolute_url()
        raise AlreadyHere(f"This bundle was sent before, and {stands}. Look at {where}.", where)
    raise AlreadyHere(f"Somebody else sent this bundle before, and it {stands}. Send one of your own.", "")


def _held(contribution: Contribution, who: AbstractBaseUser, *decisions: str) -> Contribution:
    """The row, locked until the transaction ends, so that of two moderators one decides."""
    if not may_moderate(who):
        raise Refused("Only a moderator decides on contributions. Ask one of them.")
    held = Contribution.objects.select_for_update(of=("self",)).get(pk=contribution.pk)
    if held.decision in decisions:
        return held
    if held.decision == PENDING:
        raise Refused("It is waiting for a decision, so there is none to take back.")
    by = held.decided_by.get_username() if held.decided_by else "a moderator who has left"
    when = f"{held.decided:%d %B %Y at %H:%M} UTC"
    raise Refused(f"Already {held.decision} by {by} on {when}. Take that back first.")


def _decide(
    held: Contribution, decision: str, who: AbstractBaseUser | None, reason: str, run: Run | None = None
) -> None:
    held.decision, held.decided_by, held.decided = decision, who, Now() if who else None
    held.reason, held.run = reason.strip(), run
    held.save(update_fields=["decision", "decided_by", "decided", "reason", "run"])


def _change(
    action: str, held: Contribution, who: AbstractBaseUser, why: str, before: str, after: str
) -> Change:
    """The public line about it, not yet stored."""
    recipe = catalogue.recipe(held.recipe)
    return Change(
        paper=recipe and catalogue.paper_of(recipe),
        subject=_subject(held),
        action=action,
        who=who,
        why=why.strip(),
        before={"decision": before},
        after={"decision": after},
    )


def _subject(contribution: Contribution) -> str:
    return f"{CONTRIBUTION} {contribution.pk}"


def _needed(typed: str, told: str) -> str:
    if not typed.strip():
        raise Refused(told)
    return typed
