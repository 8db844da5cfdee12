"""From a BibTeX entry to the facts of a paper: each fault with its line and remedy, each oddity in a note.

A fault keeps an entry out; a note tells what was left out or read in a particular way.
"""

import re
from collections.abc import Set
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from papers import latex, names
from papers.bibtex import MONTHS, VENUE_FIELDS, Block, on_arxiv_alone
from papers.facts import Facts
from papers.identifiers import canonical, recognise

KINDS = {
    "conference": "inproceedings",
    "report": "techreport",
    "online": "misc",
    "electronic": "misc",
    "www": "misc",
}
VENUES = ("journal", "journaltitle", "booktitle", "school", "institution", "howpublished", "eventtitle")
DETAILS = (
    *("address", "chapter", "edition", "editor", "eid", "isbn", "issn", "issue", "location", "note"),
    "number",
    *("organization", "pages", "primaryclass", "publisher", "series", "type", "volume"),
)  # fmt: skip
READ = {
    *(
        "title",
        "author",
        "year",
        "date",
        "month",
        "abstract",
        "keywords",
        "url",
        "doi",
        "crossref",
        "code",
        "code_url",
    ),
    *("eprint", "archiveprefix", "eprinttype", "arxiv", "arxivid", "openreview", "acl"),
    *("spectrum-ids", "spectrum-verified", "spectrum-sources", "subtitle", *VENUES, *DETAILS),
}
LONGEST = {"title": 1_000, "author": 60_000, "abstract": 20_000, **dict.fromkeys(VENUES, 300)}
LONGEST |= dict.fromkeys(("editor", "keywords", "note", "spectrum-ids", "spectrum-sources"), 5_000)
LONGEST_OTHER = 500
MOST_NOTES = 20
_ARXIV_IN_TEXT = re.compile(r"(?:arxiv[:\s]*|abs/)(\d{4}\.\d{4,5}|[a-z-]+/\d{7})", re.IGNORECASE)
_WEB = re.compile(r'https?://[^\s"<>{}\\^`|]+', re.IGNORECASE)


@dataclass
class Reading:
    """What was read of one reference. `facts` is sound where `faults` is empty; elsewhere it goes so far.

    `lacks` are those of the faults that say what is missing, and that could still be completed.
    """

    line: int
    raw: str
    facts: Facts = field(default_factory=Facts)
    faults: list[str] = field(default_factory=list)
    lacks: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    format: str = "bibtex"

    @property
    def can_be_completed(self) -> bool:
        """Its identifiers say which paper it is, and nothing is wrong but what is missing."""
        return bool(self.facts.identifiers) and self.faults == self.lacks != []


class Interpreter:
    """One entry on its way to facts; every method reads some fields and says what it could not use."""

    remedies = {
        "title": "add title = {...}",
        "author": "add author = {Last, First and Last, First}, or author = {others} when nobody is named",
        "year": "add year = {2024}",
        "not a year": "write year = {2024}",
        "month": "write month = may or month = 5",
    }

    def __init__(self, block: Block, reading: Reading, techniques: Set[str]) -> None:
        self.block, self.reading, self.facts, self.techniques = block, reading, reading.facts, techniques
        self.fields = dict(block.fields)
        self.overlong: set[str] = set()

    def read(self) -> None:
        self.facts.key = self.block.key
        self.facts.kind = self._kind()
        self._refuse_overlong()
        self._title()
        self._authors()
        self._date()
        self._identifiers()
        self._venue()
        self._addresses()
        self._rest()

    def fault(self, name: str, sentence: str) -> None:
        line = self.block.lines.get(name, self.block.line)
        self.reading.faults.append(f"line {line}: {sentence}")

    def lack(self, name: str) -> None:
        self.fault(name, f"no {name}; {self.remedies[name]}.")
        self.reading.lacks.append(self.reading.faults[-1])

    def note(self, name: str, sentence: str) -> None:
        line = self.block.lines.get(name, self.block.line)
        self.reading.notes.append(f"line {line}: {sentence}")

    def text(self, name: str) -> str:
        value = self.fields.get(name)
        return latex.plain(value) if value else ""

    def verbatim(self, name: str) -> str:
        """An address or identifier: no LaTeX but \\url{...} and escaped signs."""
        value = self.fields.get(name, "")
        if not re.search(r"[\\{}]", value):
            return value.strip()
        value = re.sub(r"\\(?:url|path|nolinkurl)\s*", "", value)
        value = re.sub(r"\\([%_&#~$])|\\textasciitilde", lambda sign: sign[1] or "~", value)
        return re.sub(r"[{}]", "", value).strip()

    def _kind(self) -> str:
        kind = KINDS.get(self.block.type, self.block.type)
        return kind if re.fullmatch(r"[a-z]{1,30}", kind) else "misc"

    def _refuse_overlong(self) -> None:
        for name, value in list(self.fields.items()):
            length, longest = len(value), LONGEST.get(name, LONGEST_OTHER)
            if name in READ and length > longest:
                self.fault(name, f"{name} has {length:,} characters; the most that fits is {longest:,}.")
                self.fields[name] = ""
                self.overlong.add(name)

    def _title(self) -> None:
        title, subtitle = self.text("title"), self.text("subtitle")
        self.facts.title = f"{title}: {subtitle}" if title and subtitle else title
        if not title and "title" not in self.overlong:
            self.lack("title")

    def _authors(self) -> None:
        name = "author" if self.fields.get("author", "").strip() else "editor"
        try:
            self.facts.authors, self.facts.authors_complete = self.people(self.fields.get(name, ""))
        except ValueError as error:
            self.fault(name, f"{error}.")
            return
        if not self.facts.authors and self.facts.authors_complete and name not in self.overlong:
            self.lack("author")

    def people(self, typed: str) -> tuple[str, bool]:
        return names.read(typed)

    def _date(self) -> None:
        name = "year" if self.text("year") else "date"
        typed = self.text(name)
        year = re.match(r"\d{4}(?!\d)", typed)
        if not typed:
            self.lack("year")
        elif not year or (name == "year" and len(typed) > 4):
            self.fault(name, f"the year “{typed[:40]}” is not a number; {self.remedies['not a year']}.")
        elif not 1900 <= int(year[0]) <= 2100:
            self.fault(name, f"the year {year[0]} is not between 1900 and 2100.")
        else:
            self.facts.year = int(year[0])
        self._month(typed if name == "date" else "")

    def _month(self, date: str) -> None:
        typed = self.text("month") or "".join(re.findall(r"^\d{4}-(\d\d)", date))
        words = re.findall(r"[a-z]+|\d+", typed.lower())
        found = [MONTHS.index(word[:3]) + 1 for word in words if word[:3] in MONTHS]
        if not found and len(words) == 1 and words[0].isdigit() and 1 <= int(words[0][:4]) <= 12:
            found = [int(words[0])]
        if found:
            self.facts.month = found[0]
        elif typed:
            self.note("month", f"“{typed[:40]}” is no month and was left out; {self.remedies['month']}.")

    def _identifiers(self) -> None:
        found = set()
        for scheme, field_name in (("doi", "doi"), ("openreview", "openreview"), ("acl", "acl")):
            found |= self._identifier(scheme, field_name)
        for field_name in ("arxiv", "arxivid"):
            found |= self._identifier("arxiv", field_name)
        for word in self.verbatim("spectrum-ids").split():
            found |= self._spelled_out(word)
        found |= self._eprint()
        for name in ("journal", "volume", "note", "howpublished"):
            found |= {
                ("arxiv", value) for value in _ARXIV_IN_TEXT.findall(self.text(name)) if recognise(value)
            }
        self.facts.identifiers = sorted([scheme, value] for scheme, value in found)

    def _identifier(self, scheme: str, name: str) -> set[tuple[str, str]]:
        if not (typed := self.verbatim(name)):
            return set()
        found = recognise(typed)
        try:
            return {found} if found else {canonical(scheme, typed)}
        except ValueError as error:
            self.note(name, f"{name}: {error} It was left out.")
            return set()

    def _spelled_out(self, word: str) -> set[tuple[str, str]]:
        try:
            scheme, _, value = word.partition(":")
            return {canonical(scheme, value)}
        except ValueError as error:
            self.note("spectrum-ids", f"spectrum-ids: {error} It was left out.")
            return set()

    def _eprint(self) -> set[tuple[str, str]]:
        archive = (self.verbatim("archiveprefix") or self.verbatim("eprinttype") or "arxiv").lower()
        typed = self.verbatim("eprint")
        if typed and archive != "arxiv" and not recognise(typed):
            self.note(
                "eprint", f"the eprint of {archive[:40]} was left out; arXiv is the one archive known here."
            )
            return set()
        return self._identifier("arxiv", "eprint")

    def _venue(self) -> None:
        name = next(
            (name for name in (VENUE_FIELDS.get(self.facts.kind), *VENUES) if name and self.text(name)), ""
        )
        venue = self.text(name)
        if not _WEB.match(venue):
            self.facts.venue = venue
        if on_arxiv_alone(self.facts):
            self.facts.venue, self.facts.kind = "arXiv", "misc"
        elif len(self.facts.venue) > LONGEST["journal"]:  # some letters take more room once composed
            self.fault(name, f"{name} has {len(venue):,} letters; write at most {LONGEST['journal']}.")

    def _addresses(self) -> None:
        web = "url" if self.verbatim("url") else "howpublished"
        url = self._address("url") if web == "url" else "".join(_WEB.findall(self.verbatim(web))[:1])
        if found := recognise(url):
            names_found = {*map(tuple, self.facts.identifiers), found}
            self.facts.identifiers = sorted([scheme, value] for scheme, value in names_found)
        else:
            self.facts.url = url
        self.facts.code_url = self._address("code") or self._address("code_url")

    def _address(self, name: str) -> str:
        """An http(s) address, or nothing: another scheme is a fault, for it may be a script."""
        typed = self.verbatim(name)
        if not typed or _WEB.fullmatch(typed):
            return typed
        if re.match(r"\s*[a-z][a-z0-9+.-]*:", typed, re.IGNORECASE) and not _looks_like_host(typed):
            self.fault(
                name, f"{name} “{typed[:60]}” is no web address; it must begin with https:// or http://."
            )
        else:
            self.note(name, f"{name} “{typed[:60]}” was left out; it must begin with https:// or http://.")
        return ""

    def _rest(self) -> None:
        self.facts.abstract = self.text("abstract")
        keywords = [word.strip() for word in re.split(r"[,;]", self.text("keywords")) if word.strip()]
        self.facts.techniques = [word for word in keywords if word in self.techniques]
        if other := [word for word in keywords if word not in self.techniques]:
            self.note(
                "keywords", f"keywords that are no techniques here were left out: {', '.join(other)[:200]}."
            )
        verified = self.text("spectrum-verified")
        self.facts.verified = verified in {"", "yes"}
        if verified not in {"", "yes", "no"}:
            self.note("spectrum-verified", f"“{verified[:40]}” was read as spectrum-verified = no.")
        self.facts.sources = [source for source in self.text("spectrum-sources").split("; ") if source]
        details = {name: self.text(name) for name in DETAILS}
        self.facts.details = {name: value for name, value in details.items() if value}
        if unread := sorted(set(self.fields) - READ):
            self.note("", f"fields that have no place here were left out: {', '.join(unread)[:200]}.")


def _looks_like_host(typed: str) -> bool:
    """ "example.org:8080/x" has a colon too."""
    return "." in urlsplit(f"//{typed}").netloc.split(":")[0]
