"""CSL-JSON out: what citeproc, pandoc and Zotero cite from, by the data schema of citationstyles.org."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from papers import bibtex, names
from papers.facts import Facts
from papers.models import Paper

TYPES = {
    "article": "article-journal",
    "book": "book",
    "incollection": "chapter",
    "inproceedings": "paper-conference",
    "mastersthesis": "thesis",
    "phdthesis": "thesis",
    "techreport": "report",
}
PREPRINT, OTHER = "article", "document"
DETAILS = {
    "volume": "volume",
    "issue": "issue",
    "number": "issue",
    "pages": "page",
    "publisher": "publisher",
    "address": "publisher-place",
    "series": "collection-title",
    "edition": "edition",
    "isbn": "ISBN",
    "issn": "ISSN",
}


def write(papers: Iterable[Paper | Facts]) -> Iterator[str]:
    """One array, an item a line."""
    yield "["
    for number, paper in enumerate(papers):
        yield (",\n" if number else "\n") + json.dumps(item(paper), ensure_ascii=False)
    yield "\n]\n"


def item(paper: Paper | Facts) -> dict[str, Any]:
    facts = Facts.of(paper) if isinstance(paper, Paper) else paper
    preprint = bibtex.on_arxiv_alone(facts)
    values = {
        "id": facts.key,
        "type": PREPRINT if preprint else TYPES.get(facts.kind, OTHER),
        "title": facts.title,
        "author": _authors(facts),
        "issued": {"date-parts": [[facts.year, facts.month] if facts.month else [facts.year]]},
        **_venue(facts, preprint),
        **{csl: facts.details.get(name) for name, csl in reversed(DETAILS.items()) if name in facts.details},
        "DOI": bibtex.doi(facts),
        "number": bibtex.arxiv_number(facts),
        "URL": facts.url or bibtex.main_link(facts),
        "abstract": facts.abstract,
        "keyword": ", ".join(facts.techniques),
    }
    return {name: value for name, value in values.items() if value}


def _authors(facts: Facts) -> list[dict[str, str]]:
    listed = [_name(names.parts(name)) for name in facts.authors.split(" and ") if name]
    # As pandoc writes BibTeX's "and others".
    return listed if facts.authors_complete else [*listed, {"literal": "others"}]


def _name(name: names.Name) -> dict[str, str]:
    values = {
        "literal": name.literal,
        "family": name.family,
        "given": name.given,
        "non-dropping-particle": name.particle,
        "suffix": name.suffix,
    }
    return {part: value for part, value in values.items() if value}


def _venue(facts: Facts, preprint: bool) -> dict[str, str]:
    if preprint:
        return {"publisher": "arXiv", "genre": "preprint"}
    if facts.kind in {"phdthesis", "mastersthesis", "techreport"}:
        return {"publisher": facts.venue}
    return {"container-title": facts.venue}
