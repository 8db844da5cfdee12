"""Leaving: an account is deleted, and what it gave stays, under a pseudonym that names nobody.

The row stays as the one author of everything. What a deleted row would take along (on_delete=CASCADE) goes,
and triggers of the database (migration 0011) keep it so, whatever a request does that began before.
"""

import secrets

from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.contrib.sessions.models import Session
from django.db import models, transaction
from django.utils import timezone

from explorer.own_data import tables
from papers import roles
from papers.models import RoleChange
from reproduce import naming

FORMER = "former user "  # with a space, which no user name that is typed may have
BLANK = {"first_name": "", "last_name": "", "email": "", "last_login": None}


class Refused(Exception):
    """An account that cannot be deleted now; the message says why and what to do first."""


@transaction.atomic
def leave(user):
    """Delete an account for good; the pseudonym under which its contributions stay. Raises Refused."""
    roles.exclusively()
    held = get_user_model().objects.select_for_update().get(pk=user.pk)
    if held.username.startswith(FORMER):
        return held.username
    _give_back_roles(held)
    for model, field in personal():
        model._default_manager.filter(**{field.name: held}).delete()
    name = _pseudonym()
    naming.rename(held.username, name)
    _end_sessions(held)
    closed = {"is_active": False, "is_staff": False, "is_superuser": False, "password": make_password(None)}
    get_user_model().objects.filter(pk=held.pk).update(username=name, **BLANK, **closed)
    return name


def personal():
    """The tables of what is somebody's own and no contribution."""
    return [(model, field) for model, field in tables() if field.remote_field.on_delete is models.CASCADE]


def _give_back_roles(user):
    """The log says that the roles went with their holder. Somebody must be left to give them again."""
    if roles.holds(user, roles.OPERATOR) and not roles.others_hold(roles.OPERATOR, user):
        raise Refused("You are the only operator. Give somebody else that role first, at /roles.")
    for role in (roles.MODERATOR, roles.OPERATOR):
        if roles.holds(user, role):
            RoleChange.objects.create(user=user, role=role, given=False, who=user, why="Left")


def _pseudonym():
    """A number that stands for one person and tells nothing of them."""
    while True:
        name = f"{FORMER}{secrets.token_hex(3)}"
        if not get_user_model().objects.filter(username=name).exists():
            return name


def _end_sessions(user):
    """Sessions are good for nothing once the password is gone; here goes what was typed into them."""
    ours = [
        session.pk
        for session in Session.objects.filter(expire_date__gt=timezone.now()).iterator()
        if session.get_decoded().get("_auth_user_id") == str(user.pk)
    ]
    Session.objects.filter(pk__in=ours).delete()
