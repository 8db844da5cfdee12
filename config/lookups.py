"""What this site asks of others: nothing, until its operator turns it on in the environment."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from django.core.exceptions import ImproperlyConfigured

SWITCHES = ("LOOKUP", "REFRESH_METADATA", "CHECK_LINKS", "WATCH_ARXIV")
SOURCES = {
    "arxiv": "https://export.arxiv.org",
    "crossref": "https://api.crossref.org",
    "openalex": "https://api.openalex.org",
}


@dataclass(frozen=True)
class Lookups:
    """settings.LOOKUPS. What no variable sets, only tests change."""

    lookup: bool = False
    refresh_metadata: bool = False
    check_links: bool = False
    watch_arxiv: bool = False
    contact: str = ""
    openalex_key: str = field(default="", repr=False)
    timeout_s: float = 15.0  # for a whole exchange, whatever it consists of
    sources: Mapping[str, str] = field(default_factory=SOURCES.copy)
    unguarded: frozenset[tuple[str, int]] = frozenset()  # host and port of a test's own server

    @property
    def schedule(self):
        """Its line in Celery's time table."""
        if not any((self.lookup, self.refresh_metadata, self.check_links, self.watch_arxiv)):
            return {}
        options = {"queue": "house", "expires": 20}
        return {"errands": {"task": "papers.tasks.errands", "schedule": 20.0, "options": options}}


def from_environment(environ):
    """The switches LOOKUP, REFRESH_METADATA, CHECK_LINKS and WATCH_ARXIV, LOOKUP_CONTACT and OPENALEX_KEY."""
    on = {
        name.lower(): environ.get(name, "").strip().lower() in {"1", "true", "yes", "on"} for name in SWITCHES
    }
    contact = environ.get("LOOKUP_CONTACT", "").strip()
    if any(on.values()) and ("@" not in contact or not contact.isascii() or not contact.isprintable()):
        raise ImproperlyConfigured(
            "LOOKUP_CONTACT is not set. Who asks arXiv, Crossref and OpenAlex says who they are: "
            "give an e-mail address, which goes into the User-Agent of each request."
        )
    return Lookups(contact=contact, openalex_key=environ.get("OPENALEX_KEY", "").strip(), **on)
