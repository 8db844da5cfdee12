"""The bibliographic facts of a paper as plain data: intake reads, identity compares, moderation writes."""

from dataclasses import dataclass, field, fields
from typing import Any, Self

from papers.models import Paper

# Facts that live in Paper columns of the same name, in the order in which a reader wants to see them.
COLUMNS = (
    "kind",
    "title",
    "authors",
    "authors_complete",
    "year",
    "month",
    "venue",
    "abstract",
    "url",
    "code_url",
    "verified",
    "sources",
    "details",
)


@dataclass
class Facts:
    """Text is plain Unicode without LaTeX; identifiers are [scheme, value], normalised; techniques slugs."""

    key: str = ""
    kind: str = "misc"
    title: str = ""
    authors: str = ""
    authors_complete: bool = True
    year: int | None = None
    month: int | None = None
    venue: str = ""
    abstract: str = ""
    url: str = ""
    code_url: str = ""
    identifiers: list[list[str]] = field(default_factory=list)
    techniques: list[str] = field(default_factory=list)
    verified: bool = True
    sources: list[str] = field(default_factory=list)
    details: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, paper: Paper) -> Self:
        """The facts of a stored paper; prefetch its identifiers and techniques when there are many."""
        return cls(
            key=paper.key,
            identifiers=sorted([i.scheme, i.value] for i in paper.identifiers.all()),
            techniques=[technique.slug for technique in paper.techniques.all()],
            **{name: getattr(paper, name) for name in COLUMNS},
        )

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Self:
        """The facts in Entry.fields or Change.before, whatever else stands beside them there."""
        return cls(**{name: value for name, value in stored.items() if name in _NAMES})

    def columns(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in COLUMNS}

    def to_json(self) -> dict[str, Any]:
        """As asdict(), which copies what needs no copy and takes ten times as long."""
        values = {name: getattr(self, name) for name in _NAMES}
        lists = {name: list(values[name]) for name in ("techniques", "sources")}
        identifiers = [list(name) for name in self.identifiers]
        return values | lists | {"identifiers": identifiers, "details": dict(self.details)}


_NAMES = tuple(item.name for item in fields(Facts))


def lacking(facts: Facts) -> list[str]:
    """What a paper must have and these facts have not, as words."""
    wanted = {
        "title": facts.title,
        "authors": facts.authors or not facts.authors_complete,
        "year": facts.year is not None and 1900 <= facts.year <= 2100,
    }
    return [name for name, given in wanted.items() if not given]
