"""Who may call what of the API, before any row is looked at."""

from rest_framework.permissions import IsAuthenticatedOrReadOnly


class SignedInToWrite(IsAuthenticatedOrReadOnly):
    """Anyone reads. A method that an address lacks is a 405 for everybody, no reason to sign in."""

    def has_permission(self, request, view):
        return request.method not in view.allowed_methods or super().has_permission(request, view)
