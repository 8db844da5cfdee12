"""The sources that are asked about papers: what each knows, how it is asked, and how its answers are read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from django.conf import settings

from papers.facts import Facts
from papers.identifiers import Name
from papers.sources import arxiv, crossref, openalex


@dataclass(frozen=True)
class Source:
    """`batch` names go into one request. `pause_s` and `per_day` are its policy or more careful than that."""

    name: str
    label: str
    accept: str
    pause_s: float
    batch: int
    path: Callable[[Sequence[Name]], str]
    read: Callable[[bytes, Sequence[Name]], Mapping[Name, Facts]]
    per_day: int | None = None

    @property
    def address(self) -> str:
        return settings.LOOKUPS.sources[self.name]


# One at a time each; docs/lookups.md says where the figures are from.
SOURCES = {
    source.name: source
    for source in (
        Source("arxiv", "arXiv", "application/atom+xml", 3.0, 50, arxiv.path, arxiv.read),
        Source("crossref", "Crossref", "application/json", 0.2, 1, crossref.path, crossref.read),
        Source("openalex", "OpenAlex", "application/json", 0.1, 1, openalex.path, openalex.read, 100_000),
    )
}
# Whom to ask about an identifier: the next when the one before knows nothing.
ORDER = {"arxiv": ("arxiv", "openalex"), "doi": ("crossref", "openalex"), "acl": ("crossref", "openalex")}


def after(source: str, scheme: str) -> str | None:
    """The source to ask next about an identifier."""
    order = ORDER.get(scheme, ())
    rest = order[order.index(source) + 1 :] if source in order else ()
    return rest[0] if rest else None
