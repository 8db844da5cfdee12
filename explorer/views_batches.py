"""Pages of batches: asking for many runs at once, watching them, cancelling them; and standing orders."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Prefetch
from django.http import Http404
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from explorer.permissions import require
from explorer.throttle import limited
from papers.models import Technique
from reproduce import batches, catalogue, demand, schedules
from reproduce.models import Batch, Measurement, Run, Schedule
from reproduce.operators import is_operator
from reproduce.recipes.spec import PRESETS

PAGE = 30
FIELDS = ("kind", "technique", "preset", "fresh")


@require_http_methods(["GET", "HEAD", "POST"])
def list_batches(request):
    """Every batch, newest first; a POST asks for one. Signing in late leads back to the list."""
    if request.method == "POST":
        return _ask(request)
    return _list_page(request, {name: request.GET.get(name, "") for name in FIELDS}, {})


@login_required
@limited("batch", 10, 3600)
def _ask(request):
    require(request.user, "run")
    typed = {name: request.POST.get(name, "").replace("\x00", "") for name in FIELDS}
    kind, fresh = typed["kind"], bool(typed["fresh"])
    asked = {"preset": typed["preset"], "technique": typed["technique"], "fresh": fresh}
    try:
        return redirect(batches.ask(kind, who=request.user, **asked))
    except demand.Refused as refused:
        return _list_page(request, typed, refused.errors, status=400)


@require_safe
def batch(request, pk):
    """One batch: live while it lasts."""
    return render(request, "batches/page.html", _live(request, _batch_or_404(pk)))


@require_safe
def batch_live(request, pk):
    """The part of a batch's page that changes; the last one asks for no more."""
    return render(request, "batches/_live.html", _live(request, _batch_or_404(pk)))


def cancel_batch(request, pk):
    """A POST cancels a batch. A GET is where signing in leads whose session had ended: back to it."""
    return _cancel(request, pk) if request.method == "POST" else redirect("batch", pk)


@login_required
def _cancel(request, pk):
    found = _batch_or_404(pk)
    if not batches.may_cancel(request.user, found):
        raise PermissionDenied("Only who asked for a batch, or an operator, may cancel it.")
    ended = batches.cancel(found, who=request.user.get_username())
    messages.success(request, f"Cancelled: {ended} run{'' if ended == 1 else 's'} that waited or ran.")
    return redirect(found)


def make_schedule(request):
    """A POST makes a standing order. A GET is where signing in leads: back to the list."""
    return _make(request) if request.method == "POST" else redirect("batches")


@login_required
@limited("schedule", 30, 3600)
def _make(request):
    _operators_only(request.user)
    recipe, preset = (request.POST.get(name, "").replace("\x00", "") for name in ("recipe", "preset"))
    try:
        schedules.make(recipe, preset, who=request.user)
        messages.success(request, "From now on it is measured on each new torch; within a minute on today's.")
    except demand.Refused as refused:
        messages.error(request, str(refused))
    return redirect("batches")


def stop_schedule(request, pk):
    """A POST stops a standing order. A GET is where signing in leads: back to the list."""
    return _stop(request, pk) if request.method == "POST" else redirect("batches")


@login_required
def _stop(request, pk):
    _operators_only(request.user)
    found = Schedule.objects.filter(pk=pk).first()
    if found is None:
        raise Http404(f"There is no schedule {pk}.")
    won = schedules.stop(found)
    messages.info(request, "Stopped. What it had asked for goes on." if won else "It was stopped already.")
    return redirect("batches")


def _operators_only(user):
    if not is_operator(user):
        raise PermissionDenied("Only operators make and stop schedules.")


def _batch_or_404(pk):
    found = Batch.objects.select_related("asked_by", "schedule").filter(pk=pk).first()
    if found is None:
        raise Http404(f"There is no batch {pk}. All of them are listed at /batches.")
    return found


def _list_page(request, typed, errors, status=200):
    chosen = Batch.objects.select_related("asked_by")
    page = Paginator(chosen, PAGE).get_page(request.GET.get("page"))
    progress = batches.progress_of_all(page.object_list)
    measured = Technique.objects.filter(papers__in=catalogue.papers().values()).distinct()
    operator = is_operator(request.user)
    context = {
        "page": page,
        "rows": [(each, progress[each.pk]) for each in page.object_list],
        "typed": typed,
        "errors": errors,
        "kinds": batches.KINDS,
        "presets": PRESETS,
        "techniques": measured,
        "operator": operator,
        "quota": demand.quota(request.user) if request.user.is_authenticated else None,
        "schedules": Schedule.objects.filter(active=True).select_related("made_by"),
        "recipes": catalogue.recipes(),
    }
    return render(request, "batches/list.html", context, status=status)


def _live(request, found):
    headline = Measurement.objects.filter(headline=True).select_related("claim")
    runs = Run.objects.select_related("paper").defer(*Run.HEAVY, "paper__abstract", "paper__search")
    shown = runs.prefetch_related(Prefetch("measurements", headline, to_attr="headlines"))
    members = list(found.members.prefetch_related(Prefetch("run", shown)))
    progress = batches.progress(found)
    own = any(not (member.joined or member.run.is_final) for member in members)
    return {
        "batch": found,
        "progress": progress,
        "members": members,
        "joined": any(member.joined for member in members),
        "may_cancel": own and not found.cancelled and batches.may_cancel(request.user, found),
    }
