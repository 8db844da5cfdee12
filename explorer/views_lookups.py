"""What came of asking other sites: proposed changes of papers, and the saved queries that find new ones."""

from functools import wraps

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Count
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from explorer import throttle
from explorer.forms_lookups import SavedQueryForm, UpdateForm
from explorer.history import differences
from explorer.permissions import require
from explorer.views_desk import moderators_only
from papers import lookup
from papers.models import Entry, SavedQuery, Submission, Update
from papers.moderation import may_moderate
from reproduce.operators import is_operator

read_or_write = require_http_methods(["GET", "HEAD", "POST"])
PAGE, AN_HOUR = 25, 60


def moderators_and_operators(view):
    """The signed-out are asked to sign in, others are told that it is not theirs."""

    @wraps(view)
    def guarded(request, *args, **kwargs):
        if not (may_moderate(request.user) or is_operator(request.user)):
            raise PermissionDenied("Only moderators and operators keep saved queries.")
        return view(request, *args, **kwargs)

    return login_required(never_cache(guarded))


@moderators_only
@require_safe
def updates(request):
    """What sources suggest, oldest first, beside what the papers say."""
    states = Update.State.values
    show = request.GET.get("show") if request.GET.get("show") in states else Update.State.PENDING
    counts = dict(Update.objects.order_by().values_list("state").annotate(Count("pk")))
    page = Paginator(_updates().filter(state=show), PAGE).get_page(request.GET.get("page"))
    shown = {"page": page, "show": show, "tabs": [(word, counts.get(word, 0)) for word in states]}
    shown |= {"updates": [_with_rows(one) for one in page], "on": settings.LOOKUPS.refresh_metadata}
    return render(request, "lookups/updates.html", shown)


@moderators_only
@read_or_write
def update(request, update_id):
    """One update with the forms to accept or decline it."""
    found = get_object_or_404(_updates(), pk=update_id)
    form = UpdateForm(request.POST if request.method == "POST" else None)
    if form.is_bound and (done := form.decide(found, request.user)):
        messages.success(request, done)
        return redirect("updates")
    found = _with_rows(get_object_or_404(_updates(), pk=update_id))
    return render(request, "lookups/update.html", {"update": found, "form": form}, status=form.status)


def _updates():
    return Update.objects.select_related("paper", "decided_by", "change")


def _with_rows(found):
    found.rows = differences(found.before, found.after)
    return found


@login_required
@never_cache
@require_POST
def look_up_again(request, submission_id, position):
    """Order anew what nobody knew or answered about an entry, by who sent it or a moderator."""
    require(request.user, "submit")
    theirs = Submission.objects.all() if may_moderate(request.user) else request.user.submissions
    entry = get_object_or_404(Entry, submission__in=theirs.filter(pk=submission_id), position=position)
    if wait := throttle.wait_s(request, "look-up", AN_HOUR, 3600):
        return throttle.too_many(request, wait)
    if not settings.LOOKUPS.lookup:
        messages.warning(request, "Looking up is turned off on this site; fill the metadata in by hand.")
    elif lookup.again(entry):
        messages.success(request, "It will be looked up again soon.")
    else:
        messages.info(request, "There is nothing to look up: it has its answer, or waits for one.")
    return redirect(f"{entry.submission.get_absolute_url()}#entry-{position}")


@moderators_and_operators
@read_or_write
def saved_queries(request):
    """Every saved query with what came of it, and the form for one more."""
    form = SavedQueryForm(request.POST if request.method == "POST" else None)
    if form.is_bound and form.keep(request.user):
        messages.success(request, "Saved.")
        return redirect("saved_queries")
    found = SavedQuery.objects.select_related("technique", "changed_by").annotate(found=Count("sightings"))
    page = Paginator(found.order_by("-on", "pk"), PAGE).get_page(request.GET.get("page"))
    shown = {"page": page, "form": form, "on": settings.LOOKUPS.watch_arxiv}
    return render(request, "lookups/queries.html", shown, status=form.status)


@moderators_and_operators
@read_or_write
def saved_query(request, query_id):
    """One saved query, to change it or turn it on or off."""
    query = get_object_or_404(SavedQuery, pk=query_id)
    form = SavedQueryForm(request.POST if request.method == "POST" else None, instance=query)
    if form.is_bound and form.keep(request.user):
        messages.success(request, "Saved.")
        return redirect("saved_queries")
    return render(request, "lookups/query.html", {"query": query, "form": form}, status=form.status)
