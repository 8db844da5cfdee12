"""Crossref's REST API: the record of one DOI, as its publisher deposited it."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from django.conf import settings

from papers.facts import Facts
from papers.identifiers import Name
from papers.sources import reading

KINDS = {
    "book": "book",
    "book-chapter": "incollection",
    "dissertation": "phdthesis",
    "journal-article": "article",
    "proceedings-article": "inproceedings",
    "report": "techreport",
}
DETAILS = {"page": "pages", "volume": "volume", "issue": "number", "publisher": "publisher"}
_DATES = ("published-print", "published-online", "published", "issued", "posted")


def doi_of(name: Name) -> str:
    """An ACL id is a DOI of Crossref's."""
    scheme, value = name
    return f"10.18653/v1/{value.lower()}" if scheme == "acl" else value


def path(names: Sequence[Name]) -> str:
    (name,) = names
    return f"/works/{quote(doi_of(name), safe='')}?{urlencode({'mailto': settings.LOOKUPS.contact})}"


@reading.forgiving
def read(body: bytes, names: Sequence[Name]) -> Mapping[Name, Facts]:
    (name,) = names
    work = reading.json_object(body)["message"]
    title, subtitle = _first(work, "title", "title"), _first(work, "subtitle", "title")
    year, month = _date(work)
    listed, complete = reading.joined([_author(one) for one in work.get("author") or []])
    details = {ours: reading.text(work.get(theirs)) for theirs, ours in DETAILS.items()}
    facts = Facts(
        kind=KINDS.get(work.get("type"), "misc"),
        title=f"{title}: {subtitle}"[:1000] if title and subtitle else title,
        authors=listed,
        authors_complete=complete,
        year=year,
        month=month,
        venue=_first(work, "container-title", "journal") or _event(work),
        abstract=reading.text(work.get("abstract"), "abstract"),
        identifiers=reading.identifiers([name, ("doi", work["DOI"])]),
        sources=[f"Crossref, {reading.text(work['DOI'])}"],
        details={field: value for field, value in details.items() if value},
    )
    return {name: reading.sound(facts)}


def _first(work: dict[str, Any], name: str, field: str) -> str:
    found = work.get(name) or [""]
    return reading.text(found[0], field)


def _event(work: dict[str, Any]) -> str:
    return reading.text((work.get("event") or {}).get("name"), "journal")


def _author(one: dict[str, Any]) -> str:
    if one.get("name"):
        return reading.author(one["name"])
    return reading.author(one.get("family"), one.get("given"), one.get("suffix"))


def _date(work: dict[str, Any]) -> tuple[int | None, int | None]:
    for name in _DATES:
        parts = [part for part in ((work.get(name) or {}).get("date-parts") or [[]])[0] if part]
        if parts:
            return int(parts[0]), int(parts[1]) if len(parts) > 1 else None
    return None, None
