"""The list and the single paper in formats for other programs: BibTeX, CSV, JSON."""

import csv
import json
from itertools import chain

from django.http import Http404, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_safe

from explorer.addresses import present_key
from explorer.listing import with_evidence
from explorer.search import Search
from papers import bibtex
from papers.models import Paper

COLUMNS = ("key", "title", "authors", "year", "month", "venue", "arxiv", "doi", "openreview", "acl")
COLUMNS += ("url", "code", "axes", "techniques", "verified", "claims", "measurements")
TYPES = {
    "bib": "application/x-bibtex; charset=utf-8",
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
}


@require_safe
def papers(request, form):
    """Every paper of a filter, in the order of the list; the same query string as /papers."""
    write = writer(form)
    search = Search(request.GET)
    if not search.is_valid():
        return HttpResponse(search.errors.as_text(), status=400, content_type="text/plain; charset=utf-8")
    return download(write(search.every()), form, "papers")


@require_safe
def paper(request, key, form):
    write = writer(form)
    found = with_evidence(Paper.objects.in_full()).filter(key=key).first()
    if found is None:
        return redirect("export_paper", key=present_key(key), form=form, permanent=True)
    if form == "json":
        return JsonResponse(facts(found))
    return download(write([found]), form, key)


def writer(form):
    if form not in TYPES:
        raise Http404(f"Papers are not offered as .{form}; there are .bib, .csv and .json.")
    return {"bib": bibtex.write, "csv": as_csv, "json": as_json}[form]


def download(parts, form, name):
    response = HttpResponse(parts, content_type=TYPES[form])
    response["Content-Disposition"] = f'inline; filename="{name}.{form}"'
    return response


def facts(paper):
    """What a list says of a paper, as plain data under the names of the CSV's columns."""
    names = {name.scheme: name.value for name in reversed(paper.identifiers.all())}
    return {
        "key": paper.key,
        "title": paper.title,
        "authors": paper.author_list + ([] if paper.authors_complete else ["others"]),
        "year": paper.year,
        "month": paper.month,
        "venue": paper.venue,
        **{scheme: names.get(scheme) for scheme in ("arxiv", "doi", "openreview", "acl")},
        "url": paper.url or None,
        "code": paper.code_url or None,
        "axes": sorted({technique.axis for technique in paper.techniques.all()}),
        "techniques": [technique.slug for technique in paper.techniques.all()],
        "verified": paper.verified,
        "claims": paper.claimed,
        "measurements": paper.measured,
    }


def as_json(papers):
    yield "["
    for number, each in enumerate(papers):
        yield (",\n" if number else "\n") + json.dumps(facts(each), ensure_ascii=False)
    yield "\n]\n"


def as_csv(papers):
    lines = csv.writer(Echo())
    return chain([lines.writerow(COLUMNS)], (lines.writerow(row(each)) for each in papers))


def row(paper):
    return [cell(value) for value in facts(paper).values()]


def cell(value):
    """Lists with semicolons; a text that a spreadsheet would run as a formula is made plain text."""
    text = "" if value is None else "; ".join(value) if isinstance(value, list) else str(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


class Echo:
    """A file for csv.writer that hands each line straight back."""

    def write(self, line):
        return line
