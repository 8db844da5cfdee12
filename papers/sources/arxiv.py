"""arXiv's API: Atom feeds, of up to 50 ids at once or of what a query finds.

Read by lxml with entities, DTDs and the network off; libxml2 itself bounds depth and size.
"""

import re
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from lxml import etree

from papers.facts import Facts
from papers.identifiers import Name, recognise
from papers.sources import reading

MOST_FOUND = 50
_ATOM, _OWN = "{http://www.w3.org/2005/Atom}", "{http://arxiv.org/schemas/atom}"


def path(names: Sequence[Name]) -> str:
    ids = ",".join(value for _, value in names)
    return f"/api/query?{urlencode({'id_list': ids, 'max_results': len(names)}, safe=',/')}"


def search_path(query: str) -> str:
    """The newest papers that a query finds."""
    newest = {"sortBy": "submittedDate", "sortOrder": "descending", "max_results": MOST_FOUND}
    return f"/api/query?{urlencode({'search_query': query, **newest})}"


@reading.forgiving
def read(body: bytes, names: Sequence[Name]) -> Mapping[Name, Facts]:
    asked = set(names)
    return {name: facts for name, facts in read_feed(body) if name in asked}


@reading.forgiving
def read_feed(body: bytes) -> list[tuple[Name, Facts]]:
    """Each paper of a feed by its arXiv id; raises Unreadable, also with what arXiv says against a query."""
    feed = _parsed(body)
    if feed.tag != f"{_ATOM}feed":
        raise reading.Unreadable("Its answer is no Atom feed.")
    found = []
    for entry in feed.findall(f"{_ATOM}entry"):
        address = _text(entry, "id")
        if "/api/errors" in address:
            raise reading.Unreadable(f"It said: {_text(entry, 'summary')[:200]}.")
        name = recognise(address)
        if name and name[0] == "arxiv" and _text(entry, "title"):
            found.append((name, _facts(entry, name)))
    return found


def _parsed(body: bytes) -> etree._Element:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(body, parser)
    except etree.XMLSyntaxError as error:
        raise reading.Unreadable(f"Its answer is no whole XML ({str(error)[:100]}).") from error
    if root.getroottree().docinfo.doctype:
        raise reading.Unreadable("Its answer brings a DTD, which no feed needs.")
    return root


def _facts(entry: etree._Element, name: Name) -> Facts:
    published = re.match(r"(\d{4})-(\d\d)", _text(entry, "published"))
    people = entry.findall(f"{_ATOM}author")
    authors = [reading.spoken_author(person.findtext(f"{_ATOM}name")) for person in people]
    listed, complete = reading.joined(authors)
    primary = entry.find(f"{_OWN}primary_category")
    details = {
        "primaryclass": reading.text(primary.get("term")) if primary is not None else "",
        "note": reading.text(entry.findtext(f"{_OWN}journal_ref")),
    }
    doi = entry.findtext(f"{_OWN}doi") or ""
    facts = Facts(
        title=_text(entry, "title"),
        authors=listed,
        authors_complete=complete,
        year=int(published[1]) if published else None,
        month=int(published[2]) if published else None,
        venue="arXiv",
        abstract=_text(entry, "summary", "abstract"),
        identifiers=reading.identifiers([name, *(("doi", word) for word in doi.split())]),
        sources=[f"arXiv API, {name[1]}"],
        details={field: value for field, value in details.items() if value},
    )
    return reading.sound(facts)


def _text(entry: etree._Element, field: str, as_long_as: str = "title") -> str:
    return reading.text(entry.findtext(f"{_ATOM}{field}"), as_long_as)
