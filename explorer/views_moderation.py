"""The moderators' side of the desk: the queue with its filters, one decision or many, papers that are one."""

from functools import wraps

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Count, Q
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from explorer import preview
from explorer.forms_desk import DecisionForm, MergePapersForm
from explorer.forms_queue import MOST_AT_ONCE, BulkForm, QueueForm
from explorer.history import beside
from papers.facts import Facts
from papers.models import ClaimProposal, Entry, Paper, Technique
from papers.moderation import may_moderate
from reproduce.models import Contribution

INVALID = Q(found=Entry.Found.INVALID)
QUEUES = {
    "waiting": Q(decision=Entry.Decision.PENDING) & ~INVALID,
    "invalid": Q(decision=Entry.Decision.PENDING) & INVALID,
    **{word: Q(decision=word) for word in ("accepted", "merged", "rejected")},
}
PAGE = 10
read_or_write = require_http_methods(["GET", "HEAD", "POST"])


def moderators_only(view):
    """The signed-out are asked to sign in, others are told that it is not theirs."""

    @wraps(view)
    def guarded(request, *args, **kwargs):
        if not may_moderate(request.user):
            raise PermissionDenied("Only moderators decide on entries and undo changes.")
        return view(request, *args, **kwargs)

    return login_required(never_cache(guarded))


@moderators_only
@require_safe
def moderation(request):
    """The queue, oldest first, by submission; all that narrows it is in the address."""
    narrowed, show = QueueForm(request.GET), shown_queue(request)
    matching = Entry.objects.filter(narrowed.matching())
    counts = matching.aggregate(**{name: Count("pk", queue) for name, queue in QUEUES.items()})
    page = page_of(request, _queue(request), PAGE)
    shown = {"filter": narrowed, "show": show, "counts": counts, "page": page, "most": MOST_AT_ONCE}
    shown |= {"lines": preview.to_decide(list(page)), "techniques": Technique.objects.all(), **elsewhere()}
    return render(request, "desk/moderation.html", shown, status=200 if narrowed.is_valid() else 400)


@moderators_only
@read_or_write
def decide(request, entry_id):
    """One entry with the forms to accept, merge, reject or reopen it."""
    form = DecisionForm(request.POST) if request.method == "POST" else None
    done = form and form.decide(get_object_or_404(Entry, pk=entry_id), request.user)
    if done and not request.htmx:
        messages.success(request, done)
        return redirect(_back_to_queue(request))
    line = preview.to_decide([get_object_or_404(_entries(), pk=entry_id)], None if done else form)[0]
    shown = {"line": line, "techniques": Technique.objects.all(), "done": done}
    shown["selectable"] = request.htmx
    if request.htmx:  # htmx shows only what came with a 200
        return render(request, "desk/_entry.html", shown)
    return render(request, "desk/decide.html", shown, status=form.status if form else 200)


@moderators_only
@read_or_write
def bulk(request):
    """What one decision would do to each of many entries; confirmed, what it did."""
    if request.method != "POST":  # where signing in leads: what was ticked is gone
        return redirect(_back_to_queue(request))
    form = BulkForm(request.POST, matching=_queue(request))
    outcomes = form.outcomes(request.user)
    shown = {"form": form, "outcomes": outcomes, "techniques": Technique.objects.all()}
    shown |= {"doable": sum(each.done for each in outcomes or ()), "back": _back_to_queue(request)}
    return render(request, "desk/bulk.html", shown, status=form.status)


@moderators_only
@read_or_write
def merge_papers(request, key):
    """Two papers that are one: which, then what would change, then doing it."""
    kept = get_object_or_404(Paper, key=key)
    form = MergePapersForm(request.POST if request.method == "POST" else request.GET or None, kept=kept)
    if request.method == "POST" and (done := form.merge(request.user)):
        messages.success(request, done)
        return redirect(kept)
    planned = form.planned()
    shown = {"kept": kept, "form": form, "planned": planned}
    if planned:
        here = Facts.of(kept).to_json()
        shown["beside"] = beside(here, Facts.of(form.paper).to_json(), here | planned.after)
    return render(request, "desk/merge_papers.html", shown, status=form.status)


def page_of(request, rows, size):
    """The page that ?page= asks for, or the nearest there is."""
    return Paginator(rows, size).get_page(request.GET.get("page"))


def shown_queue(request):
    return request.GET.get("show") if request.GET.get("show") in QUEUES else "waiting"


def elsewhere():
    """What else waits for moderators."""
    return {
        "bundles": Contribution.objects.filter(decision=Contribution.Decision.PENDING).count(),
        "proposals": ClaimProposal.objects.filter(decision=ClaimProposal.Decision.PENDING).count(),
    }


def _queue(request):
    matching = _entries().filter(QUEUES[shown_queue(request)], QueueForm(request.GET).matching())
    return matching.order_by("submission__created", "submission_id", "position")


def _entries():
    related = "paper", "decided_by", "submission__submitted_by"
    prefetched = "paper__identifiers", "paper__techniques"
    return Entry.objects.select_related(*related).defer("submission__text").prefetch_related(*prefetched)


def _back_to_queue(request):
    """The queue as it was narrowed."""
    asked = request.GET.urlencode()
    return reverse("moderation") + (f"?{asked}" if asked else "")
