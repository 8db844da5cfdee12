"""What pages say of look-ups: the sources by their names, and whether this site asks at all."""

from django import template
from django.conf import settings

from papers import links, lookup
from papers.models import Entry, Lookup
from papers.sources import SOURCES

register = template.Library()


@register.filter
def source_name(source):
    return SOURCES[source].label if source in SOURCES else source


@register.inclusion_tag("lookups/_tried.html", takes_context=True)
def tried_for(context, line):
    """What was asked about an entry that waits for its metadata; one query for all lines of a page."""
    if not hasattr(line.entry, "lookups"):
        entries = [other.entry for other in context.get("lines") or [line]]
        found = lookup.tried([entry for entry in entries if entry.found == Entry.Found.INCOMPLETE])
        for entry in entries:
            entry.lookups = found.get(entry.pk, [])
    tried = line.entry.lookups
    over = bool(tried) and all(row.state in {Lookup.State.NOTHING, Lookup.State.FAILED} for row in tried)
    on = settings.LOOKUPS.lookup
    return {"tried": tried, "on": on, "may_ask_again": on and over, "entry": line.entry}


@register.simple_tag
def links_of(paper):
    """The addresses that a paper gives, with what is known of each, and whether this site looks at links."""
    known = links.of_paper(paper)
    given = (("Address", paper.url), ("Code", paper.code_url))
    rows = [(label, address, known.get(address)) for label, address in given if address]
    return {"rows": rows, "code": known.get(paper.code_url), "on": settings.LOOKUPS.check_links}
