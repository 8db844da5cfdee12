"""A database that is away is said so, with when to come back: a page for people, JSON for programs."""

import sys

from django.db import InterfaceError, OperationalError
from django.http import HttpResponse, JsonResponse
from django.template.loader import render_to_string

from explorer.api import DATABASE_AWAY, REMEDIES, RETRY_S

AWAY = (OperationalError, InterfaceError)


class DatabaseOutageMiddleware:
    """Turns a lost or refused connection anywhere below it into a 503."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        return self.get_response(request)

    def process_exception(self, request, exception):
        return unavailable(request) if isinstance(exception, AWAY) else None


def is_outage():
    """Whether the exception being handled, or one that led to it, is the database's absence."""
    exception = sys.exception()
    while exception is not None:
        if isinstance(exception, AWAY):
            return True
        exception = exception.__cause__ or exception.__context__
    return False


def wants_json(request):
    """Programs: the API, and whoever prefers JSON to HTML."""
    return request.path.startswith("/api/") or request.get_preferred_type(
        ["text/html", "application/json"]
    ) == ("application/json")


def unavailable(request):
    """503. The page is rendered without the request, so that nothing in it asks the database."""
    if wants_json(request):
        error = {"code": "database_away", "message": DATABASE_AWAY, "remedy": REMEDIES[503], "fields": {}}
        response = JsonResponse({"error": error}, status=503)
    else:
        response = HttpResponse(render_to_string("503.html"), status=503)
    response["Retry-After"] = str(RETRY_S)
    response["Cache-Control"] = "no-store"
    return response
