"""Papers side by side: the page, its form, and the same numbers as CSV."""

from django.http import HttpResponse, QueryDict
from django.shortcuts import render
from django.utils.http import urlencode
from django.views.decorators.http import require_safe

from explorer import sidebyside
from explorer.search import Search

OFFERED = 8


@require_safe
def compare(request):
    """Two to six papers side by side; with fewer or more the form, which keeps what was chosen and typed."""
    choice = sidebyside.choose(request.GET.getlist("papers"))
    words = request.GET.get("q", "").strip() or " ".join(choice.unknown)
    finding = bool(words) and ("find" in request.GET or not choice.comparable)
    search = Search(QueryDict(urlencode({"q": words})))
    context = {"choice": choice, "search": search, "finding": finding}
    context["offered"] = offered(search, choice) if finding else []
    if choice.comparable:
        table = sidebyside.rows(choice.papers)
        context |= {"table": table, "pictures": sidebyside.pictures(choice.papers, table)}
    status = 400 if choice.errors and not choice.comparable else 200
    return render(request, "compare/page.html", context, status=status)


@require_safe
def compare_csv(request):
    """The table as CSV. A program is refused rather than told of fewer papers than it named."""
    choice = sidebyside.choose(request.GET.getlist("papers"))
    if fault := refusal(choice):
        return HttpResponse(f"papers: {fault}\n", status=400, content_type="text/plain; charset=utf-8")
    content = sidebyside.csv_of(choice.papers, sidebyside.rows(choice.papers))
    response = HttpResponse(content, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="spectrum-comparison.csv"'
    return response


def refusal(choice):
    """Why there is no comparison for a program, in a sentence; nothing where there is one."""
    few = f"Name {sidebyside.LEAST} to {sidebyside.MOST} papers by key or identifier, with commas between."
    return " ".join(choice.errors) or ("" if choice.comparable else few)


def offered(search, choice):
    """Papers that the typed words find and that are not chosen yet."""
    if not search.is_valid():
        return []
    chosen = {paper.pk for paper in choice.papers}
    found = search.papers()[: OFFERED + len(chosen)]
    return [paper for paper in found if paper.pk not in chosen][:OFFERED]
