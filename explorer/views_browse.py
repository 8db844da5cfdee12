"""Pages for reading: the front page, the list of papers, one paper, techniques, the method."""

from urllib.parse import urlencode

from django.db import connection
from django.http import Http404, HttpResponse, JsonResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_safe

from explorer import (
    citing,
    comparison,
    drawing,
    formats,
    history,
    linked_data,
    sidebyside,
    timeline,
    views_export,
    words,
)
from explorer.addresses import paper_named, present_key
from explorer.documents import NUMBERS
from explorer.heatmap import heat_map
from explorer.listing import with_evidence
from explorer.pictures import main_pictures
from explorer.search import Search
from papers import bibtex
from papers.identifiers import link
from papers.models import AXES, Claim, Paper, Technique
from reproduce import batches, catalogue, pool
from reproduce.models import Measurement, Run

SHOWN, MOST_OF_TECHNIQUE, LAST_CHANGES = 8, 50, 3


@require_safe
def front(request):
    """What this is, in five seconds: the map of the field, and claims beside measurements."""
    years, axes = heat_map()
    context = {
        "years": years,
        "axes": axes,
        "papers": Paper.objects.count(),
        "claims": Claim.objects.count(),
        "measured": Measurement.objects.scored().count(),
        "recipes": len(catalogue.recipes()),
        "headlines": comparison.headlines(SHOWN),
        "newest": with_evidence(Paper.objects.newest()).order_by("-added", "-year", "key")[:SHOWN],
        "contributed": comparison.contributed().filter(headline=True)[:SHOWN],
        "runs": ours(Run.objects.select_related("paper"))[:SHOWN],
    }
    return render(request, "front.html", context)


@require_safe
@formats.negotiated(views_export.papers, formats.LIST)
def papers(request):
    """The list with its facets; an identifier typed as words leads straight to its paper."""
    request.GET = words.as_typed(request.GET)
    search = Search(request.GET)
    if not search.is_valid():
        return render(request, "papers/list.html", {"search": search, "bad": True}, status=400)
    named = search.record()
    if named and named[2]:
        return leave_for(request, named[2])
    facets, query = search.facets(), search.query()
    context = {
        "search": search,
        "page": search.chosen_page(),
        "facets": facets,
        "named": named,
        "query": query,
    }
    context["numbers"] = [(name, label, request.GET.get(name, "")) for name, (label, _) in NUMBERS.items()]
    response = render(request, "papers/_browse.html" if in_place(request) else "papers/list.html", context)
    response["HX-Push-Url"] = f"/papers?{query}"
    patch_vary_headers(response, ["HX-Request"])
    return response


@require_safe
@formats.negotiated(views_export.paper, formats.ONE)
def paper(request, key):
    """The evidence first: what the paper claims beside what was measured, then everything else."""
    found = Paper.objects.in_full().filter(key=key).first()
    if found is None:
        return redirect("paper", key=present_key(key), permanent=True)
    address = request.build_absolute_uri(found.get_absolute_url())
    recipes = catalogue.recipes_of(found)
    rows, unclaimed = comparison.of_paper(found, recipes)
    context = {
        "paper": found,
        "rows": rows,
        "unclaimed": unclaimed,
        "recipes": recipes,
        "pictures": main_pictures(recipes),
        "runs": ours(found.runs.select_related("requested_by"))[:SHOWN],
        "contributed": comparison.contributed().filter(claim__isnull=False, run__in=contributed_runs(found)),
        "bibtex": bibtex.entry(found),
        "names": [(name, link(name.scheme, name.value)) for name in found.identifiers.all()],
        "tags": citing.citation_tags(found, address),
        "linked_data": linked_data.script(found, address),
        "citation": citing.plain(found),
        "address": address,
        "count": found.changes.count(),
        "changes": history.with_differences(list(history.changes(found.key)[:LAST_CHANGES])),
    }
    return render(request, "papers/page.html", context)


@require_safe
def by_identifier(request, scheme, value):
    return redirect(paper_named(scheme, value))


@require_safe
def techniques(request):
    """The taxonomy: every technique under its axis, with its papers year by year."""
    years, found = timeline.lines()
    groups = [(axis, AXES[axis], lines) for axis, lines in found.items()]
    return render(request, "techniques/list.html", {"groups": groups, "years": years})


@require_safe
def techniques_csv(request):
    response = HttpResponse(timeline.csv_of(*timeline.lines()), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="spectrum-techniques.csv"'
    return response


@require_safe
def technique(request, slug):
    """A technique's evidence, then its papers, best evidence first."""
    found = technique_called(slug)
    measured = comparison.latest().filter(run__paper__techniques=found, claim__isnull=False)
    papers = Search(QueryDict(urlencode({"technique": slug, "sort": "measured"})))
    context = {
        "technique": found,
        "measurements": comparison.with_lanes(
            comparison.pooled(measured.order_by("-headline", "run_id", "position"))
        ),
        # As the list sorts by evidence: the page links to its third page for what does not fit here.
        "papers": papers.rows()[:MOST_OF_TECHNIQUE] if papers.is_valid() else [],
        "total": found.papers.count(),
        "figures": drawing.on_page(technique_figures(found)),
        "recipes": batches.recipes_of(found),
    }
    return render(request, "techniques/page.html", context)


@require_safe
def about(request):
    return render(request, "about.html")


@require_safe
def healthz(request):
    """For watchdogs: the database answers, and this many workers are alive."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return JsonResponse({"database": "ok", "workers": pool.alive_workers().count()})


def ours(runs):
    """Without those that were contributed from elsewhere, which every page shows apart."""
    return runs.ours().defer(*Run.HEAVY)


def contributed_runs(paper):
    runs = paper.runs.filter(origin=Run.Origin.CONTRIBUTED, preset="full")
    return runs.order_by("-pk").values("pk")[:SHOWN]


def in_place(request):
    """Whether htmx asks for the list alone; a page restored from history is wanted whole."""
    return request.htmx and not request.htmx.history_restore_request


def leave_for(request, paper):
    response = redirect(paper)
    if in_place(request):
        response = render(request, "papers/_browse.html")
        response["HX-Redirect"] = paper.get_absolute_url()
    return response


def technique_figures(technique):
    """Its papers over time, then their claims and measurements of the metrics that most of them claim."""
    over_time = timeline.of_technique(technique)
    return ([over_time] if over_time else []) + sidebyside.figures_of_technique(technique)


def technique_called(slug):
    found = Technique.objects.filter(slug=slug).first()
    if found is None:
        raise Http404(f"No technique is called {slug[:80]}; all of them are listed at /techniques.")
    return found
