"""Pages for what goes wrong: what happened, and what to do next."""

from django.core.exceptions import RequestDataTooBig
from django.http import HttpResponse, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string

from explorer.api import REMEDIES
from explorer.outage import is_outage, unavailable, wants_json
from explorer.throttle import too_many
from explorer.typed import typed_in

BAD = "The request could not be understood."
TOO_LARGE = "What you sent is larger than 6 MB; send it in parts."
FORBIDDEN = "Your account may not do this."
BROKEN = "Something broke on our side; it has been written to the log."
STALE = "The form was too old, or your browser sent no cookie with it, so nothing was changed."


def bad_request(request, exception=None):
    too_large = isinstance(exception, RequestDataTooBig)
    return answer(request, 400, "bad_request", TOO_LARGE if too_large else BAD)


def forbidden(request, exception=None):
    return answer(request, 403, "forbidden", str(exception or "") or FORBIDDEN)


def not_found(request, exception=None):
    told = exception.args[0] if exception and exception.args else ""
    # Django's own resolver puts a dictionary there: nothing that a reader could use.
    message = told if isinstance(told, str) and told else f"There is nothing at {request.path[:200]}."
    return answer(request, 404, "not_found", message)


def server_error(request):
    """500; or 503 when what broke is that the database is away."""
    if is_outage():
        return unavailable(request)
    if wants_json(request):
        return as_json(
            500, "server_error", BROKEN, "Try again; if it lasts, tell the operators of this site."
        )
    return HttpResponse(render_to_string("500.html", {"message": BROKEN}), status=500)


def stale_form(request, reason=""):
    """A POST without a valid CSRF token. What was typed is shown, so that it can be sent again."""
    if wants_json(request):
        return as_json(403, "csrf", STALE, "Send the header X-CSRFToken, or use an API token.")
    return render(request, "csrf.html", {"message": STALE, "typed": typed_in(request)}, status=403)


def too_many_requests(request, exception=None):
    """429 for what allauth counts itself; its windows last a minute, so nobody waits longer."""
    return too_many(request, 60)


def answer(request, status, code, message):
    if wants_json(request):
        return as_json(status, code, message, REMEDIES[status])
    return render(request, f"{status}.html", {"message": message}, status=status)


def as_json(status, code, message, remedy):
    error = {"code": code, "message": message, "remedy": remedy, "fields": {}}
    return JsonResponse({"error": error}, status=status)
