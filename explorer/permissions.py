"""Who may call what of the API, before any row is looked at; and the question pages ask alike."""

from django.core.exceptions import PermissionDenied
from rest_framework.permissions import IsAuthenticatedOrReadOnly

from papers import roles


class SignedInToWrite(IsAuthenticatedOrReadOnly):
    """Anyone reads. A method that an address lacks is a 405 for everybody, no reason to sign in."""

    def has_permission(self, request, view):
        return request.method not in view.allowed_methods or super().has_permission(request, view)


def require(user, right):
    """Go on if a signed-in person has a right of papers/roles.py; else a 403 says whose it is, and why."""
    if user.is_authenticated and not roles.may(user, right):
        raise PermissionDenied(roles.refusal(user, right))
