"""Pages of the recipes: what each measures and has measured, and the form that asks for a run."""

from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from explorer import scoreboard
from explorer.permissions import require
from explorer.pictures import pictures_of
from explorer.templatetags.figures import WORDS
from explorer.throttle import limited
from explorer.trends import trends
from papers.models import AXES
from reproduce import catalogue, demand, pool, pooling
from reproduce.models import Run
from reproduce.operators import is_operator
from reproduce.recipes.spec import PRESETS


@require_safe
def recipes(request):
    """Every recipe with its claim and what was measured, by axis; of one axis or verdict if so asked."""
    chosen = _chosen(request)
    context = {
        "lines": scoreboard.lines(**chosen),
        "chosen": chosen,
        "axes": AXES,
        "verdicts": [*WORDS, scoreboard.UNMEASURED],
        "broken": catalogue.broken(),
        "count": len(catalogue.recipes()),
        "export": urlencode({name: value for name, value in chosen.items() if value}),
    }
    return render(request, "recipes/list.html", context)


@require_safe
def recipes_csv(request):
    """The same table, chosen the same way."""
    content = scoreboard.as_csv(scoreboard.lines(**_chosen(request)))
    response = HttpResponse(content, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="spectrum-recipes.csv"'
    return response


def _chosen(request):
    """The filters asked for; what there is not filters nothing."""
    axis, verdict = (request.GET.get(name, "") for name in ("axis", "verdict"))
    known = {*WORDS, scoreboard.UNMEASURED}
    return {"axis": axis if axis in AXES else "", "verdict": verdict if verdict in known else ""}


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
    require(request.user, "run")
    recipe = _recipe_or_404(slug)
    preset = request.POST.get("preset", "")
    typed = {p.name: request.POST[p.name] for p in recipe.schema if p.name in request.POST}
    asked = {"fresh": "fresh" in request.POST, "labels": request.POST.getlist("labels")}
    try:
        run, new = demand.request_run(slug, preset=preset, typed=typed, who=request.user, **asked)
    except demand.Refused as refused:
        return _recipe_page(request, recipe, preset, typed, refused.errors, status=400)
    if not new:
        messages.info(request, "The same question already has this run; tick “repeat” to measure afresh.")
    return redirect(run)


def _recipe_or_404(slug):
    found = catalogue.recipe(slug)
    if found is None:
        raise Http404(f"There is no recipe {slug}. All of them are listed at /recipes.")
    return found


def _recipe_page(request, recipe, preset, typed, errors, status=200):
    preset = preset if preset in PRESETS else "full"
    device = catalogue.device_of(preset, recipe)
    paper = catalogue.paper_of(recipe)
    runs = Run.objects.filter(recipe=recipe.slug).select_related("requested_by").defer(*Run.HEAVY)
    pools = pooling.pools(recipe, preset)
    context = {
        "recipe": recipe,
        "paper": paper,
        "claims": {claim.slug: claim for claim in paper.claims.all()} if paper else {},
        "preset": preset,
        "presets": PRESETS,
        "pools": pools,
        "trends": trends(recipe, pools),
        "pictures": pictures_of(recipe),
        "device": device,
        "fields": _fields(recipe, preset, typed, errors),
        "fresh": "fresh" in request.POST,
        "errors": [text for name, text in errors.items() if name not in {p.name for p in recipe.schema}],
        "served": pool.can_serve(**catalogue.needs(recipe, preset)),
        "labels": pool.labels(),
        "chosen": request.POST.get("labels", ""),
        "quota": None if is_operator(request.user) else _quota(request.user),
        "runs": runs.ours()[:10],
        "contributed": runs.filter(origin=Run.Origin.CONTRIBUTED)[:10],
    }
    return render(request, "recipes/page.html", context, status=status)


def _quota(user):
    return demand.quota(user) if user.is_authenticated else None


def _fields(recipe, preset, typed, errors):
    """The parameters as the form shows them: what was typed, else the preset's own values."""
    return [
        {
            "parameter": parameter,
            "value": typed.get(parameter.name, parameter.default(preset)),
            "error": errors.get(parameter.name),
        }
        for parameter in recipe.schema
    ]
