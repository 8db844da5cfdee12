"""OpenAlex's API: one work by its DOI, which for a preprint is the one that arXiv gave it."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from django.conf import settings

from papers.facts import Facts
from papers.identifiers import Name, recognise
from papers.sources import reading
from papers.sources.crossref import doi_of

KINDS = {"article": "article", "book": "book", "book-chapter": "incollection", "dissertation": "phdthesis"}
KINDS |= {"report": "techreport", "conference-paper": "inproceedings"}


def path(names: Sequence[Name]) -> str:
    (name,) = names
    doi = f"10.48550/arxiv.{name[1]}" if name[0] == "arxiv" else doi_of(name)
    given = {"mailto": settings.LOOKUPS.contact}
    if settings.LOOKUPS.openalex_key:
        given["api_key"] = settings.LOOKUPS.openalex_key
    return f"/works/doi:{quote(doi, safe='/')}?{urlencode(given)}"


@reading.forgiving
def read(body: bytes, names: Sequence[Name]) -> Mapping[Name, Facts]:
    (name,) = names
    work = reading.json_object(body)
    dated = reading.text(work.get("publication_date")).split("-")
    people = [one.get("author") or {} for one in work["authorships"]]
    listed, complete = reading.joined([reading.spoken_author(one.get("display_name")) for one in people])
    venue = _venue(work.get("primary_location") or {})
    facts = Facts(
        kind="misc" if venue == "arXiv" else KINDS.get(work.get("type"), "misc"),
        title=reading.text(work.get("title"), "title"),
        authors=listed,
        authors_complete=complete,
        year=int(work["publication_year"]),
        month=int(dated[1]) if len(dated) > 1 else None,
        venue=venue,
        abstract=_abstract(work.get("abstract_inverted_index") or {}),
        identifiers=reading.identifiers([name, *_names(work)]),
        sources=[f"OpenAlex, {reading.text(work['id']).rpartition('/')[2]}"],
    )
    return {name: reading.sound(facts)}


def _venue(place: dict[str, Any]) -> str:
    venue = reading.text((place.get("source") or {}).get("display_name"), "journal")
    return "arXiv" if venue.lower().startswith("arxiv") else venue


def _names(work: dict[str, Any]) -> list[Name]:
    """The DOI and the arXiv ids of all versions that it has put together."""
    addresses = [work.get("doi"), *(place.get("landing_page_url") for place in work.get("locations") or [])]
    found = (recognise(address) for address in addresses if isinstance(address, str))
    return [name for name in found if name and name[0] in {"doi", "arxiv"}]


def _abstract(index: dict[str, list[int]]) -> str:
    """It lists for each word where it stands."""
    placed = sorted((int(place), word) for word, places in index.items() for place in places)
    return reading.text(" ".join(word for _, word in placed), "abstract")
