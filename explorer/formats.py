"""The formats in which papers are handed to other programs, and which of them a request prefers."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps

from django.http import Http404
from django.utils.cache import patch_vary_headers

from explorer.tabular import as_csv, as_json
from papers import bibtex, csl, ris


@dataclass(frozen=True)
class Format:
    """`write` makes pieces of text of an iterable of papers; a feed is only of lists."""

    extension: str
    media: str
    label: str
    write: Callable = None

    @property
    def content_type(self):
        return self.media if "json" in self.media else f"{self.media}; charset=utf-8"


FORMATS = {
    each.extension: each
    for each in (
        Format("bib", "application/x-bibtex", "BibTeX", bibtex.write),
        Format("ris", "application/x-research-info-systems", "RIS", ris.write),
        Format("csl.json", "application/vnd.citationstyles.csl+json", "CSL-JSON", csl.write),
        Format("csv", "text/csv", "CSV", as_csv),
        Format("json", "application/json", "JSON", as_json),
        Format("atom", "application/atom+xml", "Atom"),
    )
}
LIST = tuple(FORMATS)
ONE = tuple(name for name in FORMATS if name != "atom")


def called(extension, offered):
    """The format of that extension. Raises Http404, which says which there are."""
    if extension not in offered:
        names = ", ".join(f".{name}" for name in offered)
        raise Http404(f"Papers are not offered as .{extension[:20]} here; there are {names}.")
    return FORMATS[extension]


def preferred(request, offered):
    """The extension that the request likes better than HTML, or None: browsers and */* get the page."""
    media = {FORMATS[extension].media: extension for extension in offered}
    return media.get(request.get_preferred_type(["text/html", "application/xhtml+xml", *media]))


def negotiated(export, offered):
    """A page whose address also answers in the formats `offered`, which `export` writes."""

    def decorate(page):
        @wraps(page)
        def view(request, **named):
            form = preferred(request, offered)
            response = export(request, form=form, **named) if form else page(request, **named)
            patch_vary_headers(response, ["Accept"])
            return response

        return view

    return decorate
