"""The desk: people send references in and follow them, moderators decide, everybody reads the history."""

from functools import wraps

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Count, Q
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from explorer import history, preview, throttle
from explorer.forms_desk import DecisionForm, SubmitForm, UndoForm, find_paper
from explorer.permissions import require
from papers import intake
from papers.models import Entry, Submission, Technique
from papers.moderation import may_moderate
from reproduce.models import Contribution

DRAFT = "submission-draft"  # in the session of somebody who has yet to sign in
SUBMISSIONS, PER_S = 60, 3600
READ_S = 1.0  # how long one request reads on at a large submission
INVALID = Q(found=Entry.Found.INVALID)
QUEUES = {
    "waiting": Q(decision=Entry.Decision.PENDING) & ~INVALID,
    "invalid": Q(decision=Entry.Decision.PENDING) & INVALID,
    "rejected": Q(decision=Entry.Decision.REJECTED),
}
read_or_write = require_http_methods(["GET", "HEAD", "POST"])


def moderators_only(view):
    """The signed-out are asked to sign in, others are told that it is not theirs."""

    @wraps(view)
    def guarded(request, *args, **kwargs):
        if not may_moderate(request.user):
            raise PermissionDenied("Only moderators decide on entries and undo changes.")
        return view(request, *args, **kwargs)

    return login_required(never_cache(guarded))


@never_cache
@read_or_write
def submit(request):
    """Paste or upload; then comes the preview."""
    require(request.user, "submit")
    if request.method == "POST":
        return _receive(request, SubmitForm(request.POST, request.FILES))
    return _submit_page(request, SubmitForm(initial=request.session.get(DRAFT)))


def _receive(request, form):
    """What a signed-out person typed waits in their session until they have signed in."""
    if not form.is_valid():
        form.status = 400
    elif wait := throttle.wait_s(request, "submit", SUBMISSIONS, PER_S):
        return _submit_later(request, form, wait)
    elif not request.user.is_authenticated:
        request.session[DRAFT] = form.draft()
        return redirect_to_login(reverse("submit"))
    elif submission := form.send(request.user, within_s=READ_S):
        request.session.pop(DRAFT, None)
        return redirect(submission)
    return _submit_page(request, form)


def _submit_page(request, form):
    kept = not form.is_bound and bool(form.initial)
    return render(request, "desk/submit.html", {"form": form, "kept": kept}, status=form.status)


def _submit_later(request, form, wait):
    """The same page with a 429, for a page of its own would lose what was typed."""
    minutes = -(-wait // 60)
    form.refuse(f"That was {SUBMISSIONS} submissions within an hour. Send this one in {minutes} min.", 429)
    page = _submit_page(request, form)
    page.headers["Retry-After"] = str(wait)
    return page


@login_required
@never_cache
@require_safe
def submissions(request):
    """What the reader sent in, and how it stands."""
    decisions = {word: Count("entries", Q(entries__decision=word)) for word in Entry.Decision.values}
    found = request.user.submissions.defer("text").annotate(found=Count("entries"), **decisions)
    found = found.order_by("-created", "-pk")
    return render(request, "desk/submissions.html", {"page": _page(request, found, 25)})


@login_required
@never_cache
@require_safe
def submission(request, submission_id):
    """Each entry of a submission: new, already here or invalid, and its fate. What is unread is read on."""
    sent = visible_submission(request, submission_id)
    if not intake.read_on(sent, within_s=READ_S):
        return render(request, "desk/reading.html", {"submission": sent, "stored": sent.entries.count()})
    entries = sent.entries.select_related("paper", "decided_by")
    entries = entries.prefetch_related("paper__identifiers", "paper__techniques")
    contents = preview.Contents.of(sent)
    show = request.GET.get("show") if request.GET.get("show") in contents.found else None
    page = _page(request, entries.filter(found=show) if show else entries, 100)
    shown = {"submission": sent, "contents": contents, "show": show}
    return render(request, "desk/submission.html", shown | {"page": page, "lines": preview.as_sent(page)})


@login_required
@never_cache
@require_safe
def submission_text(request, submission_id):
    """The text exactly as it was sent."""
    sent = visible_submission(request, submission_id)
    return HttpResponse(sent.text, content_type="text/plain; charset=utf-8")


def visible_submission(request, submission_id):
    """Other people's submissions are as if they were not there, except to moderators."""
    sent = Submission.objects.select_related("submitted_by").filter(pk=submission_id).first()
    if sent is None or (sent.submitted_by != request.user and not may_moderate(request.user)):
        raise Http404("There is no such submission of yours.")
    return sent


@moderators_only
@require_safe
def moderation(request):
    """The queue, oldest first, by submission."""
    show = request.GET.get("show") if request.GET.get("show") in QUEUES else "waiting"
    counts = Entry.objects.aggregate(**{name: Count("pk", queue) for name, queue in QUEUES.items()})
    waiting = _entries().filter(QUEUES[show]).order_by("submission__created", "submission_id", "position")
    page = _page(request, waiting, 10)
    bundles = Contribution.objects.filter(decision=Contribution.Decision.PENDING).count()
    shown = {"show": show, "counts": counts, "page": page, "lines": preview.to_decide(list(page))}
    shown["bundles"] = bundles
    return render(request, "desk/moderation.html", shown | {"techniques": Technique.objects.all()})


@moderators_only
@read_or_write
def decide(request, entry_id):
    """One entry with the forms to accept, merge, reject or reopen it."""
    form = DecisionForm(request.POST) if request.method == "POST" else None
    done = form and form.decide(get_object_or_404(Entry, pk=entry_id), request.user)
    if done and not request.htmx:
        messages.success(request, done)
        return redirect("moderation")
    line = preview.to_decide([get_object_or_404(_entries(), pk=entry_id)], None if done else form)[0]
    shown = {"line": line, "techniques": Technique.objects.all(), "done": done}
    if request.htmx:  # htmx shows only what came with a 200
        return render(request, "desk/_entry.html", shown)
    return render(request, "desk/decide.html", shown, status=form.status if form else 200)


def _entries():
    related = "paper", "decided_by", "submission__submitted_by"
    prefetched = "paper__identifiers", "paper__techniques"
    return Entry.objects.select_related(*related).defer("submission__text").prefetch_related(*prefetched)


@require_safe
def changes(request):
    """Who changed what, when, why, and what was there before; of one paper with ?paper=."""
    typed = request.GET.get("paper", "").replace("\0", "").strip()
    paper = find_paper(typed) if typed else None
    page = _page(request, history.changes(paper.key if paper else typed), 50)
    shown = {"typed": typed, "paper": paper, "page": page, "may_undo": may_moderate(request.user)}
    return render(request, "desk/changes.html", shown | {"changes": history.with_differences(list(page))})


@moderators_only
@read_or_write
def undo(request, change_id):
    """One change with the form to take it back."""
    change = get_object_or_404(history.changes(), pk=change_id)
    form = UndoForm(request.POST if request.method == "POST" else None)
    if form.is_bound and form.undo(change, request.user):
        messages.success(request, f"Undone: {change.subject} is as it was before.")
        return redirect("changes")
    (change,) = history.with_differences([change])
    return render(request, "desk/undo.html", {"change": change, "form": form}, status=form.status)


def _page(request, rows, size):
    """The page that ?page= asks for, or the nearest there is."""
    return Paginator(rows, size).get_page(request.GET.get("page"))
