"""Pages of the pool: recipes and the form that asks for a run, runs as they live, and the workers."""

from datetime import timedelta

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Count, Prefetch
from django.db.models.functions import Now
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from explorer.throttle import limited
from reproduce import bundles, catalogue, demand, lifecycle, pool
from reproduce.models import Measurement, Run, Worker
from reproduce.recipes.spec import PRESETS

PAGE = 50
LATELY = timedelta(days=1)


@require_safe
def recipes(request):
    """Every recipe with its paper and what it has measured so far."""
    counts = dict(Run.objects.filter(status="done").order_by().values_list("recipe").annotate(Count("pk")))
    papers = catalogue.papers()
    rows = [
        {"recipe": recipe, "paper": papers.get(recipe.slug), "runs": counts.get(recipe.slug, 0)}
        for recipe in catalogue.recipes()
    ]
    return render(request, "recipes/list.html", {"rows": rows, "broken": catalogue.broken()})


@require_safe
def recipe(request, slug):
    """What a recipe measures and how; the form that asks for a run."""
    if slug in catalogue.broken():
        context = {"slug": slug, "faults": catalogue.broken()[slug]}
        return render(request, "recipes/broken.html", context, status=503)
    return _recipe_page(request, _recipe_or_404(slug), request.GET.get("preset", "full"), {}, {})


def request_run(request, slug):
    """A POST asks for a run. A GET is where signing in leads whose session had ended: back to the form."""
    return _ask(request, slug) if request.method == "POST" else redirect("recipe", slug)


@login_required
@limited("run", 30, 3600)
def _ask(request, slug):
    """Queue a run as asked, or show the one that already answers; errors keep all that was typed."""
    recipe = _recipe_or_404(slug)
    preset = request.POST.get("preset", "")
    typed = {p.name: request.POST[p.name] for p in recipe.schema if p.name in request.POST}
    fresh = "fresh" in request.POST
    try:
        run, new = demand.request_run(slug, preset=preset, typed=typed, who=request.user, fresh=fresh)
    except demand.Refused as refused:
        return _recipe_page(request, recipe, preset, typed, refused.errors, status=400)
    if not new:
        messages.info(request, "The same question already has this run; tick “repeat” to measure afresh.")
    return redirect(run)


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


@require_safe
def workers(request):
    """Who is alive, with which GPUs, doing what; and who has left within a day."""
    doing = Prefetch("runs", Run.objects.filter(status="running").defer(*Run.HEAVY), to_attr="doing")
    alive = pool.alive_workers().prefetch_related(doing)
    gone = Worker.objects.exclude(pk__in=alive.values("pk")).filter(seen__gt=Now() - LATELY).order_by("-seen")
    waiting = Run.objects.filter(status="queued").order_by().values("device").annotate(runs=Count("pk"))
    return render(request, "workers/list.html", {"alive": alive, "gone": gone[:20], "waiting": waiting})


def _recipe_or_404(slug):
    found = catalogue.recipe(slug)
    if found is None:
        raise Http404(f"There is no recipe {slug}. All of them are listed at /recipes.")
    return found


def run_or_404(pk):
    found = (
        Run.objects.select_related("paper", "requested_by", "worker").defer("bundle").filter(pk=pk).first()
    )
    if found is None:
        raise Http404(f"There is no run {pk}. All of them are listed at /runs.")
    return found


def _recipe_page(request, recipe, preset, typed, errors, status=200):
    preset = preset if preset in PRESETS else "full"
    fields = [
        {
            "parameter": parameter,
            "value": typed.get(parameter.name, parameter.default(preset)),
            "error": errors.get(parameter.name),
        }
        for parameter in recipe.schema
    ]
    device = catalogue.device_of(preset)
    paper = catalogue.paper_of(recipe)
    context = {
        "recipe": recipe,
        "paper": paper,
        "claims": {claim.slug: claim for claim in paper.claims.all()} if paper else {},
        "preset": preset,
        "presets": PRESETS,
        "device": device,
        "fields": fields,
        "fresh": "fresh" in request.POST,
        "errors": [text for name, text in errors.items() if name not in {p.name for p in recipe.schema}],
        "served": pool.can_serve(**catalogue.needs(recipe, preset)),
        "quota": demand.quota(request.user) if request.user.is_authenticated else None,
        "runs": Run.objects.filter(recipe=recipe.slug).select_related("requested_by").defer(*Run.HEAVY)[:10],
    }
    return render(request, "recipes/page.html", context, status=status)
