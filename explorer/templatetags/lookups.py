"""What pages say of look-ups: the sources by their names, and whether this site asks at all."""

from django import template
from django.conf import settings

from papers import links
from papers.sources import SOURCES

register = template.Library()


@register.filter
def source_name(source):
    return SOURCES[source].label if source in SOURCES else source


@register.inclusion_tag("lookups/_tried.html")
def tried_for(line):
    """What was asked about an entry that waits for its metadata."""
    return {"tried": line.tried, "lookup_on": settings.LOOKUPS.lookup}


@register.simple_tag
def looks_up():
    """Whether this site looks up what entries lack."""
    return settings.LOOKUPS.lookup


@register.simple_tag
def links_of(paper):
    """The addresses that a paper gives, with what is known of each, and whether this site looks at links."""
    known = links.of_paper(paper)
    given = (("Address", paper.url), ("Code", paper.code_url))
    rows = [(label, address, known.get(address)) for label, address in given if address]
    return {"rows": rows, "code": known.get(paper.code_url), "on": settings.LOOKUPS.check_links}
