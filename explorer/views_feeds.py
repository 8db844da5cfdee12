"""Feeds of decisions; a reader that has the newest is told so and sent nothing."""

from django.http import Http404, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import conditional_page, require_safe

from explorer import feeds


@require_safe
@conditional_page
def decisions_feed(request):
    """What was accepted, merged, edited, corrected and undone, newest first."""
    site, address = request.build_absolute_uri("/")[:-1], request.build_absolute_uri(request.path)
    return _atom(feeds.of_changes(feeds.decisions(), site, address))


@require_safe
@conditional_page
@never_cache
def own_feed(request, token):
    """What became of one person's entries. The address is the key: feed readers cannot sign in."""
    user = feeds.user_of(token)
    if user is None:
        raise Http404("This feed is not here; its address changes with the password. See /account/letters.")
    site, address = request.build_absolute_uri("/")[:-1], request.build_absolute_uri(request.path)
    entries = list(feeds.own_decisions(user).select_related("submission", "paper").defer("submission__text"))
    return _atom(feeds.of_entries(entries, site, address))


def _atom(parts):
    return HttpResponse("".join(parts), content_type="application/atom+xml; charset=utf-8")
