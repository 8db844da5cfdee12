"""The list and the single paper in formats for other programs: the same query string, stable addresses."""

from urllib.parse import unquote_plus

from django.http import HttpResponse, JsonResponse, QueryDict
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_safe

from explorer import atom, formats, freshness
from explorer.addresses import present_key
from explorer.listing import with_evidence
from explorer.search import Search
from explorer.streaming import streamed, unless_known
from explorer.tabular import facts
from papers.models import Paper


@require_safe
def papers(request, form):
    """Every paper of a filter, in the order of the list; the same query string as /papers."""
    form = formats.called(form, formats.LIST)
    search = Search(newest_first(request.GET) if form.extension == "atom" else request.GET)
    if not search.is_valid():
        return HttpResponse(search.errors.as_text(), status=400, content_type="text/plain; charset=utf-8")
    state = freshness.state()
    parts = feed(request, search, state) if form.extension == "atom" else form.write(search.every())
    response = named(streamed(request, parts, form.content_type), form, "papers")
    response["Content-Location"] = address(search, form)
    return unless_known(request, response, state, form.extension, search.query())


@require_safe
def paper(request, key, form):
    """One paper. A former key redirects to it."""
    form = formats.called(form, formats.ONE)
    state = freshness.state()
    found = with_evidence(Paper.objects.in_full()).filter(key=key).first()
    if found is None:
        return redirect("export_paper", key=present_key(key), form=form.extension, permanent=True)
    response = named(whole(found, form), form, key)
    response["Content-Location"] = reverse("export_paper", args=[key, form.extension])
    return unless_known(request, response, state, form.extension, key)


def whole(found, form):
    if form.extension == "json":
        return JsonResponse(facts(found))
    return HttpResponse("".join(form.write([found])), content_type=form.content_type)


def named(response, form, name):
    response["Content-Disposition"] = f'inline; filename="{name}.{form.extension}"'
    return response


def feed(request, search, state):
    """What is new of a filter, whatever order its list has."""
    here = request.build_absolute_uri
    return atom.write(
        search.every(),
        title=f"Spectrum: papers {unquote_plus(search.query(sort=None))}".strip(),
        address=here(address(search, formats.FORMATS["atom"])),
        page=here(address(search)),
        updated=state.changed,
    )


def newest_first(asked):
    query = QueryDict(mutable=True)
    query.update(asked)
    query["sort"] = "newest"
    return query


def address(search, form=None):
    """The one address of a list: its filters in the form's order, without a page; a feed's without order."""
    path = reverse("export", args=[form.extension]) if form else reverse("papers")
    query = search.query(sort=None) if form and form.extension == "atom" else search.query()
    return f"{path}?{query}" if query else path
