"""The public record of changes: who may make them, one at a time, and what is kept of each."""

from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import connection

from papers import roles
from papers.models import Change, Claim, ClaimProposal, Entry, Paper

Subject = Paper | Claim | Entry | ClaimProposal

_CORPUS_LOCK = 0x5BEC7A
CONTRIBUTION = "contribution"  # what reproduce writes of in the same record, and takes back itself


class Refused(Exception):
    """The decision cannot be taken; the message says why and what can be done instead."""


def may_moderate(user: AbstractBaseUser | None) -> bool:
    """Moderators decide, and superusers: see roles.py."""
    return roles.may(user, "decide")


def begin(who: AbstractBaseUser | None) -> None:
    """What every decision does first. Raises Refused when it is not theirs to take."""
    if not may_moderate(who):
        raise Refused("Only a moderator decides on papers and entries; ask one of them.")
    lock()


def lock() -> None:
    """Until this transaction ends nobody else changes the corpus, so what was checked stays true."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_CORPUS_LOCK])


def record(
    action: str,
    subject: Subject,
    *,
    who: AbstractBaseUser | None,
    why: str,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> Change:
    """A Change, not yet stored. Without `before` the subject was born, without `after` it was removed."""
    paper = subject if isinstance(subject, Paper) else subject.paper
    return Change(
        paper=paper, subject=about(subject), action=action, who=who, why=why, before=before, after=after
    )


def about(subject: Subject) -> str:
    """ "paper dao2022flashattention", "claim dao2022flashattention/speedup_x", "entry 12/3", "proposal 4"."""
    if isinstance(subject, Paper):
        return f"paper {subject.key}"
    if isinstance(subject, Claim):
        return f"claim {subject.paper.key}/{subject.slug}"
    if isinstance(subject, ClaimProposal):
        return f"proposal {subject.pk}"
    return f"entry {subject}"
