"""Who may do what: the one table that pages, the API and both domains ask, and how roles change hands.

Everybody reads. Whoever signs up is a submitter until an operator takes that away; the others are given.
"""

from dataclasses import dataclass

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, Group
from django.db import transaction
from django.db.models import Q, QuerySet

from papers.models import RoleChange

READER, SUBMITTER, MODERATOR, OPERATOR = ROLES = ("reader", "submitter", "moderator", "operator")
# The group that stands for a role. Not everybody need be written down as a submitter: those who are not, are.
GROUPS = {SUBMITTER: "readers", MODERATOR: "moderators", OPERATOR: "operators"}
Person = AbstractBaseUser | AnonymousUser | None


@dataclass(frozen=True)
class Right:
    role: str  # that it belongs to
    what: str  # "Only a moderator may ..."


RIGHTS = {
    "read": Right(READER, "read, search, compare and export everything that is public"),
    "submit": Right(SUBMITTER, "send in references, claims and bundles, and follow their fate"),
    "run": Right(SUBMITTER, "ask for runs within the quota, and cancel their own"),
    "decide": Right(MODERATOR, "see everybody's submissions, decide on them, edit papers and undo changes"),
    "operate": Right(OPERATOR, "run without a quota, cancel any run, order workers about and make schedules"),
    "roles": Right(OPERATOR, "give and take roles"),
}


class Refused(Exception):
    """A role that cannot change hands so; the message says why and what to do."""


def may(user: Person, right: str) -> bool:
    """Whether somebody may do what RIGHTS lists."""
    return holds(user, RIGHTS[right].role)


def holds(user: Person, role: str) -> bool:
    """Whether somebody has a role. A superuser has all; an account that is closed only reads."""
    if role == READER:
        return True
    if user is None or not user.is_authenticated or not user.is_active:
        return False
    in_group = user.is_superuser or user.groups.filter(name=GROUPS[role]).exists()
    return user.is_superuser or in_group is not (role == SUBMITTER)


def of(user: Person) -> list[str]:
    return [role for role in ROLES if holds(user, role)]


def refusal(user: Person, right: str) -> str:
    """One sentence for somebody who may not: whose right it is, and why it is not theirs."""
    role, what = RIGHTS[right].role, RIGHTS[right].what
    taken = role == SUBMITTER and RoleChange.objects.filter(user=user.pk, role=role, given=False).first()
    because = f" An operator took that role from this account: {taken.why}" if taken else ""
    return f"Only a {role} may {what}.{because}"


def holders(role: str) -> QuerySet:
    """Those to whom a role was given; of submitters, those from whom it was taken."""
    return get_user_model().objects.filter(is_active=True, groups__name=GROUPS[role]).order_by("username")


def others_hold(role: str, user: AbstractBaseUser) -> bool:
    """Whether a role would be left without anybody if this person went. Call it within `exclusively`."""
    held = Q(groups__name=GROUPS[role]) | Q(is_superuser=True)
    return get_user_model().objects.filter(held, is_active=True).exclude(pk=user.pk).exists()


def exclusively() -> None:
    """Until this transaction ends no other changes roles, so what was checked stays true."""
    list(Group.objects.select_for_update().filter(name__in=GROUPS.values()).order_by("pk"))


@transaction.atomic
def give(user: AbstractBaseUser, role: str, *, who: AbstractBaseUser | None, why: str) -> bool:
    """Give somebody a role; whether they lacked it. `who` is None for the command line. Raises Refused."""
    return _set(user, role, True, who, why)


@transaction.atomic
def take(user: AbstractBaseUser, role: str, *, who: AbstractBaseUser | None, why: str) -> bool:
    """Take a role from somebody; whether they had it. Raises Refused."""
    return _set(user, role, False, who, why)


def _set(user: AbstractBaseUser, role: str, given: bool, who: AbstractBaseUser | None, why: str) -> bool:
    exclusively()
    if told := _fault(user, role, given, who, why):
        raise Refused(told)
    if holds(user, role) is given:
        return False
    group, _ = Group.objects.get_or_create(name=GROUPS[role])
    (user.groups.remove if given is (role == SUBMITTER) else user.groups.add)(group)
    RoleChange.objects.create(user=user, role=role, given=given, who=who, why=why.strip())
    return True


def _fault(
    user: AbstractBaseUser, role: str, given: bool, who: AbstractBaseUser | None, why: str
) -> str | None:
    if who is not None and not may(who, "roles"):
        return refusal(who, "roles")
    if role not in GROUPS:
        return f"There is no role “{role}” to give or take; there are {', '.join(GROUPS)}."
    if not why.strip():
        return "Say why; the log of roles keeps it."
    if not user.is_active:
        return "This account is closed, so it holds no role."
    if user.is_superuser:
        return "A superuser holds every role, whatever is given or taken here."
    if who == user and not given:
        return "Nobody takes a role from themselves; ask another operator."
    return None
