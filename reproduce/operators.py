"""Who runs the pool: operators, and superusers."""

from django.contrib.auth.models import AbstractUser, AnonymousUser

from papers import roles


def is_operator(user: AbstractUser | AnonymousUser) -> bool:
    """Whether somebody may cancel anybody's run, tell workers what to do, and fill the pool: see roles.py."""
    return roles.may(user, "operate")
