"""A paper as search engines read it: schema.org's ScholarlyArticle in JSON-LD."""

import json

from django.utils.safestring import mark_safe

from papers import bibtex, names
from papers.facts import Facts
from papers.identifiers import LABELS, link

# A script element reads no entities and ends at its end tag: these signs are written as JSON also may.
ESCAPES = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}
CONTAINERS = {"article": "Periodical", "incollection": "Book"}


def script(paper, address):
    """The content of <script type="application/ld+json">, safe as it stands."""
    return mark_safe(json.dumps(article(paper, address), ensure_ascii=False).translate(ESCAPES))


def article(paper, address):
    facts = Facts.of(paper)
    preprint = bibtex.on_arxiv_alone(facts)
    values = {
        "@context": "https://schema.org",
        "@type": "Thesis" if facts.kind in ("phdthesis", "mastersthesis") else "ScholarlyArticle",
        "@id": address,
        "mainEntityOfPage": address,
        "headline": facts.title,
        "name": facts.title,
        "author": [person(names.parts(author)) for author in paper.author_list],
        "datePublished": f"{facts.year}-{facts.month:02}" if facts.month else str(facts.year),
        "isPartOf": container(facts) if facts.venue and not preprint else None,
        "identifier": [identifier(*name) for name in facts.identifiers if name[0] != "url"],
        "sameAs": [link(*name) for name in facts.identifiers],
        "url": facts.url or bibtex.main_link(facts),
        "abstract": facts.abstract,
        "keywords": [technique.name for technique in paper.techniques.all()],
    }
    return {name: value for name, value in values.items() if value}


def person(name):
    if name.literal:
        return {"@type": "Organization" if " " in name.literal else "Person", "name": name.literal}
    family = f"{name.particle} {name.family}".strip()
    values = {
        "@type": "Person",
        "name": f"{name.given} {family}",
        "givenName": name.given,
        "familyName": family,
        "honorificSuffix": name.suffix,
    }
    return {part: value for part, value in values.items() if value}


def container(facts):
    return {"@type": CONTAINERS.get(facts.kind, "PublicationVolume"), "name": facts.venue}


def identifier(scheme, value):
    return {
        "@type": "PropertyValue",
        "propertyID": LABELS[scheme],
        "value": value,
        "url": link(scheme, value),
    }
