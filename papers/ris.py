"""RIS out: what EndNote, RefWorks, Mendeley and Zotero import. One record a paper, lines end in CRLF."""

from collections.abc import Iterable, Iterator

from papers import bibtex, latex, names
from papers.facts import Facts
from papers.models import Paper

TYPES = {
    "article": "JOUR",
    "book": "BOOK",
    "incollection": "CHAP",
    "inproceedings": "CONF",
    "mastersthesis": "THES",
    "phdthesis": "THES",
    "techreport": "RPRT",
}
PREPRINT, OTHER = "UNPB", "GEN"
DETAILS = {
    "volume": "VL",
    "number": "IS",
    "issue": "IS",
    "publisher": "PB",
    "address": "CY",
    "isbn": "SN",
    "issn": "SN",
}
INCOMPLETE = "The list of authors is not complete."


def write(papers: Iterable[Paper | Facts]) -> Iterator[str]:
    return (entry(paper) for paper in papers)


def entry(paper: Paper | Facts) -> str:
    """TY to ER, and an empty line."""
    facts = Facts.of(paper) if isinstance(paper, Paper) else paper
    lines = [f"{tag}  - {latex.squeeze(value)}".rstrip(" ") for tag, value in _fields(facts) if value]
    return "\r\n".join([*lines, "ER  - ", "", ""])


def _fields(facts: Facts) -> Iterator[tuple[str, str]]:
    preprint = bibtex.on_arxiv_alone(facts)
    yield "TY", PREPRINT if preprint else TYPES.get(facts.kind, OTHER)
    yield "ID", facts.key
    yield from (("AU", names.inverted(name)) for name in facts.authors.split(" and "))
    yield "PY", str(facts.year)
    if facts.month:
        yield "DA", f"{facts.year}/{facts.month:02}//"
    yield "TI", facts.title
    yield from _venue(facts, preprint)
    yield from _details(facts)
    yield "DO", bibtex.doi(facts)
    yield "UR", facts.url or bibtex.main_link(facts)
    yield "AB", facts.abstract
    yield from (("KW", technique) for technique in facts.techniques)
    if not facts.authors_complete:
        yield "N1", INCOMPLETE


def _venue(facts: Facts, preprint: bool) -> Iterator[tuple[str, str]]:
    if preprint:
        yield "PB", "arXiv"
    elif facts.kind in {"phdthesis", "mastersthesis", "techreport"}:
        yield "PB", facts.venue
    else:
        yield "T2", facts.venue
        if facts.kind == "article":
            yield "JO", facts.venue


def _details(facts: Facts) -> Iterator[tuple[str, str]]:
    for name, tag in DETAILS.items():
        yield tag, facts.details.get(name, "")
    first, _, last = facts.details.get("pages", "").replace("–", "-").partition("-")
    yield "SP", first.strip()
    yield "EP", last.strip("- ")
