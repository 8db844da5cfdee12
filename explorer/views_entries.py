"""One entry of a submission: what was read of it, and the form that gives it what it lacks."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache

from explorer import preview
from explorer.forms_completion import CompletionForm, form_for
from explorer.permissions import require
from explorer.views_desk import read_or_write, visible_submission
from papers import completion


@login_required
@never_cache
@read_or_write
def entry(request, submission_id, position):
    """Who sent it, and moderators, see it and complete it."""
    sent = visible_submission(request, submission_id)
    if request.method == "POST":
        require(request.user, "submit")
    entries = sent.entries.select_related("paper", "decided_by")
    entry = get_object_or_404(entries, position=position)
    form = CompletionForm(request.POST) if request.method == "POST" else form_for(entry)
    if form.is_bound and (done := form.complete(entry, request.user)):
        messages.success(request, f"Completed: it is {done.get_found_display().lower()}.")
        return redirect("entry", submission_id, position)
    (line,) = preview.as_sent([entries.get(position=position)])
    shown = {
        "submission": sent,
        "line": line,
        "form": form if completion.may_be_completed(line.entry) else None,
    }
    return render(request, "desk/entry.html", shown, status=form.status)
