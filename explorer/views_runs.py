"""Runs: the list of them, what each keeps for download, and cancelling one. Its page is in views_live.py."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Prefetch
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from reproduce import bundles, catalogue, demand, lifecycle
from reproduce.models import Measurement, Run

PAGE = 50


@require_safe
def runs(request):
    """Every run, newest first, by recipe and by state."""
    chosen = Run.objects.select_related("paper", "requested_by").defer(*Run.HEAVY)
    # No name holds the character NUL, and PostgreSQL cannot be asked about it.
    recipe, status = (request.GET.get(name, "").replace("\x00", "") for name in ("recipe", "status"))
    if recipe:
        chosen = chosen.filter(recipe=recipe)
    if status:
        chosen = chosen.filter(status=status)
    headline = Measurement.objects.filter(headline=True).select_related("claim")
    chosen = chosen.prefetch_related(Prefetch("measurements", headline, to_attr="headlines"))
    page = Paginator(chosen, PAGE).get_page(request.GET.get("page"))
    context = {"page": page, "recipe": recipe, "status": status, "statuses": Run.Status.values}
    return render(request, "runs/list.html", {**context, "recipes": catalogue.recipes()})


@require_safe
def bundle(request, pk):
    """The bundle as the recipe wrote it: report, environment, raw samples and log in one file."""
    found = run_or_404(pk)
    raw = bundles.unpack(found)
    if raw is None:
        raise Http404("This run has no bundle: it has not finished, or it failed before writing one.")
    response = HttpResponse(raw, content_type="application/json")
    response["Content-Disposition"] = f'attachment; filename="{found.recipe}-run-{found.pk}.json"'
    return response


def cancel(request, pk):
    """A POST cancels a run. A GET is where signing in leads whose session had ended: back to the run."""
    return _cancel(request, pk) if request.method == "POST" else redirect("run", pk)


@login_required
def _cancel(request, pk):
    """Cancel a run: its owner's and the operators' right."""
    found = run_or_404(pk)
    if not demand.may_cancel(request.user, found):
        raise PermissionDenied("Only who asked for a run, or an operator, may cancel it.")
    if lifecycle.request_cancel(found, who=request.user.get_username()):
        messages.success(request, "Cancelled. A running process is ended within seconds.")
    else:
        messages.info(request, "This run had already ended.")
    return redirect(found)


def run_or_404(pk):
    found = (
        Run.objects.select_related("paper", "requested_by", "worker").defer("bundle").filter(pk=pk).first()
    )
    if found is None:
        raise Http404(f"There is no run {pk}. All of them are listed at /runs.")
    return found
