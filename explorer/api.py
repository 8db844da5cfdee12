"""What every answer of the JSON API shares: one shape of error, strict input, and lists in pages.

An error is {"error": {"code", "message", "remedy", "fields"}}: what happened, and what to do.
"""

from collections.abc import Iterator
from itertools import islice
from math import ceil

from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.core.paginator import Paginator
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpResponseRedirect
from drf_spectacular.utils import OpenApiResponse, extend_schema, inline_serializer
from rest_framework import exceptions, serializers
from rest_framework.decorators import api_view
from rest_framework.response import Response

from explorer import throttle

REMEDIES = {
    400: "Mend what is named and send it again; every address is described at /api/docs.",
    401: "Sign in, make a token at /account/tokens, and send it as 'Authorization: Bearer spectrum_...'.",
    403: "Use an account that may do this, or ask the operators of this site.",
    404: "Every address is described at /api/docs.",
    409: "Look at how things stand with GET, and ask again when they allow it.",
    405: "Use one of the methods named in the header Allow.",
    406: "Ask for JSON with 'Accept: application/json'.",
    411: "Send the header Content-Length.",
    413: "Send it in smaller parts.",
    415: "Send JSON with the header 'Content-Type: application/json'.",
    429: "Wait for as many seconds as the header Retry-After says, then send it again.",
    503: "Nothing was lost. Send it again in a few seconds; if it lasts, tell the operators of this site.",
}
DATABASE_AWAY = "The database is not answering, so nothing can be read or stored just now."
RETRY_S = 5
MOST_FIELDS, LONGEST_NAME, LONGEST_TOLD = 50, 80, 500  # an error echoes input, but never all of a flood


class Problem(exceptions.APIException):
    """An error as the API tells it. `fields` maps the name of a field to its sentences."""

    def __init__(self, status, code, message, remedy="", fields=None, wait=None):
        super().__init__(message, code)
        self.status_code, self.code, self.message, self.wait = status, code, message, wait
        self.remedy = remedy or REMEDIES[status]
        self.fields = fields or {}


def problem(exc, context):
    """DRF's exception handler. None for a fault of our own: Django answers 500 and logs it."""
    if (found := _as_problem(exc)) is None:
        return None
    headers = {}
    if auth := getattr(exc, "auth_header", None):
        headers["WWW-Authenticate"] = auth
    if (wait := getattr(exc, "wait", None) or found.wait) is not None:
        headers["Retry-After"] = str(ceil(wait))
    told = {name: getattr(found, name) for name in ("code", "message", "remedy", "fields")}
    return Response({"error": told}, status=found.status_code, headers=headers)


def _as_problem(exc):
    if isinstance(exc, OperationalError | InterfaceError):
        return Problem(503, "database_away", DATABASE_AWAY, wait=RETRY_S)
    if isinstance(exc, RequestDataTooBig):
        return Problem(413, "too_large", "What you sent is larger than this site takes in one request.")
    if isinstance(exc, Http404):
        return missing(str(exc) or "There is no such thing.")
    if isinstance(exc, PermissionDenied):
        return Problem(403, "permission_denied", str(exc) or "You may not do this.")
    return _of_the_framework(exc) if isinstance(exc, exceptions.APIException) else None


def _of_the_framework(exc):
    if isinstance(exc, Problem):
        return exc
    if isinstance(exc, exceptions.ValidationError):
        return refused(exc.detail)
    if isinstance(exc, exceptions.NotAuthenticated):
        return Problem(401, exc.default_code, "Only who is signed in, or sends a token, may do this.")
    return Problem(exc.status_code, exc.get_codes(), str(exc.detail))


def refused(errors):
    """The 400 for {field: sentences}; a form's or a serializer's errors, or one sentence a field."""
    some = islice(dict(errors).items(), MOST_FIELDS)
    fields = {name[:LONGEST_NAME] or "__all__": list(_sentences(told)) for name, told in some}
    whole = [text for name in ("__all__", "non_field_errors") for text in fields.pop(name, [])]
    named = [f"{name}: {text}" for name, texts in fields.items() for text in texts]
    return Problem(400, "invalid", " ".join([*whole, *named]), fields=fields)


def _sentences(told) -> Iterator[str]:
    if isinstance(told, dict):
        for name, inner in told.items():
            yield from (f"{name}: {text}" for text in _sentences(inner))
    elif isinstance(told, str):
        yield told if len(told) <= LONGEST_TOLD else told[:LONGEST_TOLD] + " …"
    else:
        for inner in told:
            yield from _sentences(inner)


def count_against(request, action, limit, per_s):
    """Count this request against the limit that the page for the same action has. Raises a 429 beyond it."""
    if wait := throttle.wait_s(request, action, limit, per_s):
        told = f"That was {limit} times within {per_s // 60} minutes, which is as often as one may."
        raise Problem(429, "throttled", told, wait=wait)


def missing(what, remedy=""):
    """The 404 that says what was not found."""
    return Problem(404, "not_found", what, remedy)


class PageQuery(serializers.Serializer):
    """Which page of a list."""

    page = serializers.IntegerField(min_value=1, default=1, help_text="From 1 on")
    page_size = serializers.IntegerField(min_value=1, max_value=200, default=50, help_text="At most 200")


def checked(serializer_class, data):
    """What `data` says, by that serializer; an unknown name is as wrong as a wrong value."""
    serializer = serializer_class(data=data)
    valid, errors = serializer.is_valid(), dict(serializer.errors)
    known = ", ".join(serializer.fields)
    if isinstance(data, dict):
        unknown = [name for name in data if name not in serializer.fields]
        errors |= dict.fromkeys(unknown, f"There is no such name here; there are: {known}.")
    if errors or not valid:
        raise refused(errors)
    return serializer.validated_data


def body(request, serializer_class):
    """What the JSON body says, by that serializer. One without its length is not read."""
    if "Transfer-Encoding" in request.headers and not request.headers.get("Content-Length"):
        raise Problem(411, "length_required", "The body came in chunks, without saying how long it is.")
    return checked(serializer_class, request.data)


def query(request, serializer_class):
    """What the query string says, by that serializer; of a repeated name, the last."""
    asked = request.query_params.dict()
    asked.pop("format", None)  # DRF's own: ?format=json
    return checked(serializer_class, asked)


def page_of(request, rows, serializer_class, asked, **context):
    """The page of `rows`, a queryset or a list, that `asked` wants, with its neighbours' addresses."""
    paginator, page = Paginator(rows, asked["page_size"]), asked["page"]
    if page > paginator.num_pages:
        raise refused({"page": f"There is no page {page}; the last one is {paginator.num_pages}."})
    found = paginator.page(page)
    answer = {
        "count": paginator.count,
        "next": _address(request, page + 1) if found.has_next() else None,
        "previous": _address(request, page - 1) if found.has_previous() else None,
        "results": serializer_class(found.object_list, many=True, context=context).data,
    }
    return Response(answer)


def _address(request, page):
    asked = request.query_params.copy()
    asked["page"] = page
    return request.build_absolute_uri(f"{request.path}?{asked.urlencode()}")


def in_pages(serializer_class):
    """How the schema describes one page of a list."""
    around = {
        "count": serializers.IntegerField(help_text="Of all pages together"),
        "next": serializers.URLField(allow_null=True),
        "previous": serializers.URLField(allow_null=True),
    }
    name = serializer_class.__name__.removesuffix("Serializer") + "Page"
    return inline_serializer(name, {**around, "results": serializer_class(many=True)})


class ErrorSerializer(serializers.Serializer):
    code = serializers.CharField(help_text="For programs")
    message = serializers.CharField(help_text="What happened")
    remedy = serializers.CharField(help_text="What to do")
    fields = serializers.DictField(child=serializers.ListField(child=serializers.CharField()))


class ProblemSerializer(serializers.Serializer):
    error = ErrorSerializer()


def described(operation_id, answers, *, problems=(), **schema):
    """The schema of one operation. Any may answer 429 and 503; `problems` are the others that it may."""
    told = {status: OpenApiResponse(ProblemSerializer, REMEDIES[status]) for status in (*problems, 429, 503)}
    return extend_schema(operation_id=operation_id, responses=answers | told, **schema)


@extend_schema(exclude=True)
@api_view(["GET", "POST", "PUT", "PATCH", "DELETE"])
def no_such_address(request, rest):
    """Whatever lies under /api/ and is not there; most often an address with a slash too many."""
    if request.method == "GET" and rest.strip("/") and rest.endswith("/"):
        return HttpResponseRedirect(
            request.get_full_path().replace(request.path, request.path.rstrip("/"), 1)
        )
    raise missing(f"There is nothing at {request.path[:200]}.")
