"""The desk: people send references in and follow them, everybody reads the history, moderators undo."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import redirect_to_login
from django.db.models import Count, Q
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from explorer import history, preview, throttle
from explorer.forms_desk import SubmitForm, UndoForm, find_paper
from explorer.permissions import require
from explorer.views_moderation import moderators_only, page_of
from papers import intake
from papers.models import Entry, Submission
from papers.moderation import may_moderate

DRAFT = "submission-draft"  # in the session of somebody who has yet to sign in
SUBMISSIONS, PER_S = 60, 3600
READ_S = 1.0  # how long one request reads on at a large submission
read_or_write = require_http_methods(["GET", "HEAD", "POST"])


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
    return render(request, "desk/submissions.html", {"page": page_of(request, found, 25)})


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
    page = page_of(request, entries.filter(found=show) if show else entries, 100)
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


@require_safe
def changes(request):
    """Who changed what, when, why, and what was there before; of one paper with ?paper=."""
    typed = request.GET.get("paper", "").replace("\0", "").strip()
    paper = find_paper(typed) if typed else None
    page = page_of(request, history.changes(paper.key if paper else typed), 50)
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
