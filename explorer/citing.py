"""What reference managers read from our pages: citation_* tags on a paper, COinS on a list; and a citation.

By the rules of Google Scholar's inclusion guidelines and of Zotero's "Embedded Metadata" and "COinS".
"""

from urllib.parse import quote_plus

from papers import bibtex, names
from papers.facts import Facts
from papers.identifiers import link

MOST_NAMES = 10
VENUE_TAGS = {
    "article": "citation_journal_title",
    "inproceedings": "citation_conference_title",
    "incollection": "citation_inbook_title",
    "phdthesis": "citation_dissertation_institution",
    "mastersthesis": "citation_dissertation_institution",
    "techreport": "citation_technical_report_institution",
}
DETAIL_TAGS = {
    "volume": "citation_volume",
    "number": "citation_issue",
    "issue": "citation_issue",
    "publisher": "citation_publisher",
    "issn": "citation_issn",
    "isbn": "citation_isbn",
}
KEV = "info:ofi/fmt:kev:mtx:"
# By kind: the format and its genre, by which Zotero tells items, and what it calls the title and the venue.
OPENURL = {
    "article": ("journal", "article", "atitle", "jtitle"),
    "inproceedings": ("book", "proceeding", "atitle", "btitle"),
    "incollection": ("book", "bookitem", "atitle", "btitle"),
    "book": ("book", "book", "btitle", "publisher"),
    "techreport": ("book", "report", "btitle", "publisher"),
    "phdthesis": ("dissertation", "", "title", "inst"),
    "mastersthesis": ("dissertation", "", "title", "inst"),
}
DOCUMENT = ("book", "document", "title", "publisher")
# OpenURL's own genre "preprint" is one of journals, which Zotero saves as an article in a journal.
PREPRINT = ("dc", "", "title", "publisher")
OPENURL_DETAILS = {"volume": "volume", "number": "issue", "issue": "issue", "pages": "pages"}
OPENURL_DETAILS |= {"issn": "issn", "isbn": "isbn"}


def citation_tags(paper, address):
    """(name, content) of each <meta> that Zotero, Mendeley and Google Scholar look for."""
    facts = Facts.of(paper)
    preprint, arxiv = bibtex.on_arxiv_alone(facts), arxiv_id(facts)
    tags = [
        ("citation_title", facts.title),
        *(("citation_author", author) for author in authors(paper)),
        ("citation_publication_date", date(facts)),
        ("citation_public_url", facts.url or bibtex.main_link(facts) or address),
        ("citation_abstract_html_url", address),
        ("" if preprint else VENUE_TAGS.get(facts.kind, ""), facts.venue),
        *((tag, facts.details.get(name, "")) for name, tag in DETAIL_TAGS.items()),
        *zip(("citation_firstpage", "citation_lastpage"), pages(facts), strict=False),
        ("citation_doi", bibtex.doi(facts)),
        ("citation_arxiv_id", arxiv),
        ("citation_pdf_url", f"https://arxiv.org/pdf/{arxiv}" if arxiv else ""),
        ("citation_abstract", facts.abstract),
        ("citation_keywords", "; ".join(technique.name for technique in paper.techniques.all())),
        ("DC.type", "preprint" if preprint else ""),  # Highwire's tags have no word for it
    ]
    return [(name, content) for name, content in tags if name and content]


def authors(paper):
    """One tag each. Zotero would take a lone "De Sum, Ida M." for two people: here its spaces hold."""
    listed = [names.inverted(author) for author in paper.author_list]
    if len(listed) == 1:
        family, comma, rest = listed[0].partition(",")
        listed = [family.replace(" ", "\u00a0") + comma + rest] if comma else listed
    return listed


def coins(facts):
    """The title attribute of a COinS span: one OpenURL context object."""
    preprint, doi = bibtex.on_arxiv_alone(facts), bibtex.doi(facts)
    form, genre, title, venue = PREPRINT if preprint else OPENURL.get(facts.kind, DOCUMENT)
    author_field = "rft.creator" if preprint else "rft.au"
    parts = [
        ("ctx_ver", "Z39.88-2004"),
        ("rft_val_fmt", f"{KEV}{form}"),
        ("rft.genre", genre),
        ("rft.type", "preprint" if preprint else ""),
        (f"rft.{title}", facts.title),
        (f"rft.{venue}", facts.venue),
        ("rft.date", date(facts).replace("/", "-")),
        *((f"rft.{name}", facts.details.get(detail, "")) for detail, name in OPENURL_DETAILS.items()),
        *((author_field, names.inverted(author)) for author in facts.authors.split(" and ") if author),
        ("rft_id", f"info:doi/{doi}" if doi else ""),
        ("rft_id", facts.url or bibtex.main_link(facts)),
    ]
    parts = [(name, value) for name, value in parts if value]
    quoted = quote_plus("\0".join(value for _, value in parts)).split("%00")  # one call for all of them
    return "&".join(f"{name}={value}" for (name, _), value in zip(parts, quoted, strict=True))


def plain(paper):
    """One line to paste into a text: authors, year, title, venue, link."""
    facts = Facts.of(paper)
    ids = dict(sorted(facts.identifiers, reverse=True))
    where = link("doi", ids["doi"]) if "doi" in ids else facts.url or bibtex.main_link(facts)
    who = f"{byline(paper)} ({facts.year})".strip()
    return " ".join(part for part in (f"{who}.", ended(facts.title), ended(facts.venue), where) if part)


def byline(paper):
    """ "Ida Invented, Max Made, and Lu van Sum"; many names end in "et al."."""
    said = [names.spoken(author) for author in paper.author_list]
    if len(said) > MOST_NAMES or (said and not paper.authors_complete):
        return f"{', '.join(said[:MOST_NAMES])}, et al."
    if len(said) < 3:
        return " and ".join(said)
    return f"{', '.join(said[:-1])}, and {said[-1]}"


def ended(sentence):
    return sentence if not sentence or sentence[-1] in ".?!" else f"{sentence}."


def arxiv_id(facts):
    return bibtex.arxiv_number(facts).removeprefix("arXiv:")


def pages(facts):
    first, _, last = facts.details.get("pages", "").replace("–", "-").partition("-")
    return first.strip(), last.strip("- ")


def date(facts):
    return f"{facts.year}/{facts.month:02}" if facts.month else str(facts.year)
