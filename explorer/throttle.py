"""How often somebody may do something, counted in the cache that all processes share.

A signed-in person is counted as such, everybody else by address.
"""

import ipaddress
import time
from functools import wraps
from math import ceil

from django.conf import settings
from django.core.cache import cache
from django.db import connection, transaction
from django.shortcuts import render

from explorer.typed import typed_in


def limited(action, limit, per_s):
    """Let one person reach a view at most `limit` times within any `per_s` seconds; then comes a 429 page."""

    def decorate(view):
        @wraps(view)
        def counted(request, *args, **kwargs):
            if wait := wait_s(request, action, limit, per_s):
                return too_many(request, wait)
            return view(request, *args, **kwargs)

        return counted

    return decorate


def wait_s(request, action, limit, per_s):
    """Whole seconds until `action` may happen; 0 means now, and that this time is counted."""
    key = f"throttle:{action}:{_who(request)}"
    with transaction.atomic():
        _lock(key)
        now = time.time()
        times = [at for at in cache.get(key, []) if now - per_s < at <= now]
        if len(times) >= limit:
            return ceil(times[-limit] + per_s - now)
        cache.set(key, [*times, now], per_s)
    return 0


def too_many(request, wait):
    """The 429 page, with when to come back and with what was typed."""
    page = render(request, "desk/too_many.html", {"wait": wait, "typed": typed_in(request)}, status=429)
    page.headers["Retry-After"] = str(wait)
    return page


def _who(request):
    if request.user.is_authenticated:
        return f"user:{request.user.pk}"
    return address_of(request)


def address_of(request):
    """The client's address, or its network: one household has a whole /64 of IPv6 addresses.

    X-Forwarded-For is whatever the client says, but for its last entry where a proxy of ours wrote that.
    """
    told = request.META.get("REMOTE_ADDR", "")
    if settings.BEHIND_PROXY and (forwarded := request.headers.get("X-Forwarded-For")):
        told = forwarded.rpartition(",")[2].strip()
    try:
        address = ipaddress.ip_address(told)
    except ValueError:  # a unix socket has no address
        return "nobody"
    return str(ipaddress.ip_network((address, 64), strict=False) if address.version == 6 else address)


def _lock(key):
    """Reading times and writing them are two steps; until the transaction ends they are one for everybody."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [key])
