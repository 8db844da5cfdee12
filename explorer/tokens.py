"""API tokens: 32 random bytes, shown once, kept as a SHA-256 that nobody can turn back.

A request is recognised by one hash and one look-up in an index, whatever it carries.
"""

import hashlib
import secrets
from datetime import timedelta

from django.contrib.auth.models import AbstractUser
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed

from explorer.models import ApiToken

PREFIX = "spectrum_"
MOST_PER_USER = 20
USED_AGAIN = timedelta(minutes=1)  # so that a busy program costs one write a minute, not one a request


class Refused(Exception):
    """A token that cannot be made; the message says why and what to do."""


def issue(user: AbstractUser, name: str) -> str:
    """Make a token for `user` and return it: the only time that anybody sees it. Raises Refused."""
    if user.api_tokens.count() >= MOST_PER_USER:
        raise Refused(f"You have {MOST_PER_USER} tokens already; revoke one that you no longer use.")
    token = PREFIX + secrets.token_urlsafe(32)
    ApiToken.objects.create(user=user, name=name, digest=digest(token.encode()))
    return token


def revoke(user: AbstractUser, token_id: int) -> bool:
    """Make a token of `user` worthless at once. False if there is no such token of theirs."""
    deleted, _ = ApiToken.objects.filter(user=user, pk=token_id).delete()
    return bool(deleted)


def digest(token: bytes) -> str:
    return hashlib.sha256(token).hexdigest()


class TokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer spectrum_...`"""

    def authenticate(self, request):
        scheme, _, given = get_authorization_header(request).partition(b" ")
        if scheme.lower() != b"bearer":
            return None
        token = ApiToken.objects.select_related("user").filter(digest=digest(given.strip())).first()
        if token is None or not token.user.is_active:
            raise AuthenticationFailed("This token is not valid: it was revoked, or it was never one.")
        _note_use(token)
        return token.user, token

    def authenticate_header(self, request):
        return 'Bearer realm="Spectrum"'


class TokenScheme(OpenApiAuthenticationExtension):
    """How the schema describes TokenAuthentication."""

    target_class = TokenAuthentication
    name = "token"

    def get_security_definition(self, auto_schema):
        return {"type": "http", "scheme": "bearer", "description": "A token made at /account/tokens."}


def _note_use(token):
    if token.last_used and timezone.now() - token.last_used < USED_AGAIN:
        return
    stale = Q(last_used=None) | Q(last_used__lt=Now() - USED_AGAIN)
    ApiToken.objects.filter(stale, pk=token.pk).update(last_used=Now())
