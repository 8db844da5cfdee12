"""Who runs the pool: the group "operators", and superusers."""

from django.contrib.auth.models import AbstractUser, AnonymousUser

GROUP = "operators"


def is_operator(user: AbstractUser | AnonymousUser) -> bool:
    """Whether somebody may cancel anybody's run, tell workers what to do, and fill the pool."""
    return user.is_authenticated and (user.is_superuser or user.groups.filter(name=GROUP).exists())
