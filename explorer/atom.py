"""A list of papers as an Atom feed (RFC 4287), an entry at a time; each says what is claimed and measured."""

import re
from datetime import UTC
from io import StringIO

from django.utils.xmlutils import SimplerXMLGenerator

from papers.facts import Facts
from papers.names import spoken
from reproduce.models import Measurement

NAMESPACE = "http://www.w3.org/2005/Atom"
# What XML 1.0 cannot hold, however it is escaped.
UNFIT = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
VERDICTS = dict(Measurement.Verdict.choices)


def write(papers, *, title, address, page, updated):
    """The feed at `address` of the list that people read at `page`; both in full, with host."""
    yield opening(title, address, page, updated)
    site = re.match(r"https?://[^/]+", address)[0]
    for paper in papers:
        yield entry(paper, site)
    yield "</feed>\n"


def opening(title, address, page, updated):
    text = StringIO()
    xml = SimplerXMLGenerator(text, "utf-8")
    xml.startDocument()
    xml.startElement("feed", {"xmlns": NAMESPACE, "xml:lang": "en"})
    element(xml, "title", title)
    element(xml, "id", address)
    element(xml, "updated", moment(updated))
    xml.addQuickElement("link", attrs={"rel": "self", "type": "application/atom+xml", "href": address})
    xml.addQuickElement("link", attrs={"rel": "alternate", "type": "text/html", "href": page})
    xml.startElement("author", {})
    element(xml, "name", "Spectrum")
    xml.endElement("author")
    return text.getvalue() + "\n"


def entry(paper, site):
    text = StringIO()
    xml = SimplerXMLGenerator(text, "utf-8")
    address = f"{site}{paper.get_absolute_url()}"
    xml.startElement("entry", {})
    element(xml, "title", paper.title)
    element(xml, "id", address)
    element(xml, "published", moment(paper.added))
    element(xml, "updated", moment(paper.changed))
    xml.addQuickElement("link", attrs={"rel": "alternate", "type": "text/html", "href": address})
    for author in paper.author_list:
        xml.startElement("author", {})
        element(xml, "name", spoken(author))
        xml.endElement("author")
    for technique in paper.techniques.all():
        xml.addQuickElement("category", attrs={"term": technique.slug, "label": fit(technique.name)})
    element(xml, "summary", summary(paper))
    xml.endElement("entry")
    return text.getvalue() + "\n"


def summary(paper):
    """The evidence first: "3 claims, 2 measurements, latest verdict: reproduced. NeurIPS, 2022. …" """
    evidence = [counted(paper.claimed, "claim"), counted(paper.measured, "measurement")]
    if verdict := getattr(paper, "headline", None):
        evidence.append(f"latest verdict: {VERDICTS[verdict]}")
    facts = Facts.of(paper)
    where = ", ".join(filter(None, [facts.venue, str(facts.year)]))
    return " ".join(filter(None, [f"{', '.join(evidence)}.", f"{where}.", facts.abstract]))


def counted(number, noun):
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


def element(xml, name, content):
    xml.addQuickElement(name, fit(content))


def fit(text):
    return UNFIT.sub("", text)


def moment(time):
    return time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
