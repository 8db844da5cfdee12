"""What an entry says and what it would do here, for those who sent it and for those who decide."""

from collections import Counter
from dataclasses import dataclass

from django.db.models import Count

from explorer.forms_desk import DecisionForm
from explorer.history import beside, differences
from papers import completion, identity, mentions, moderation
from papers.facts import Facts
from papers.models import Entry, Paper

# What a text was made of, one and many.
FORMATS = {
    "bibtex": ("BibTeX entry", "BibTeX entries"),
    "ris": ("RIS record", "RIS records"),
    "csl": ("CSL-JSON item", "CSL-JSON items"),
    "arxiv": ("arXiv id", "arXiv ids"),
    "doi": ("DOI", "DOIs"),
    "openreview": ("OpenReview id", "OpenReview ids"),
    "acl": ("ACL id", "ACL ids"),
    "url": ("web address", "web addresses"),
    "line": ("line that is none of these", "lines that are none of these"),
}


@dataclass
class Contents:
    """How many entries of a submission are what, and what they were recognised as."""

    found: dict[str, int]
    recognised: str

    @classmethod
    def of(cls, submission):
        counted = submission.entries.order_by().values_list("found", "format").annotate(Count("pk"))
        found, formats = Counter(), Counter()
        for state, form, count in counted:
            found[state] += count
            formats[form] += count
        said = (
            f"{formats[form]:,} {words[formats[form] > 1]}"
            for form, words in FORMATS.items()
            if formats[form]
        )
        return cls({state: found[state] for state in Entry.Found.values if found[state]}, ", ".join(said))

    @property
    def tabs(self):
        """State, its words, how many."""
        return [(state, Entry.Found(state).label.lower(), count) for state, count in self.found.items()]

    @property
    def total(self):
        return sum(self.found.values())


@dataclass
class Line:
    """One entry. `paper` is what it would be merged with or what it became; `why`, how it was recognised."""

    entry: Entry
    facts: Facts
    paper: Paper | None
    why: str = ""
    form: DecisionForm | None = None

    @property
    def name(self):
        """What to call it: its title, else its first identifier, else how it begins."""
        if self.facts.title or not self.facts.identifiers:
            return self.facts.title or " ".join(self.entry.raw[:200].split())[:80]
        return mentions.label(self.facts.identifiers[0])

    @property
    def completable(self):
        return completion.may_be_completed(self.entry)

    @property
    def read(self):
        """The facts that intake read, without those that nobody typed."""
        silent = {"key": self.facts.key, "authors_complete": True, "verified": True}
        return differences(silent, self.facts.to_json())

    @property
    def notes(self):
        """What intake left out or read in a particular way, a sentence each."""
        return self.entry.fields.get("notes", [])

    @property
    def adds(self):
        """What merging it would give the paper."""
        here = Facts.of(self.paper).to_json()
        return differences(here, here | moderation.additions(self.facts, self.paper))

    @property
    def beside(self):
        """The paper here and what was sent, fact by fact, with what merging would leave."""
        here, sent = Facts.of(self.paper).to_json(), self.facts.to_json()
        return beside(here, sent, here | moderation.additions(self.facts, self.paper))

    @property
    def pending(self):
        return self.entry.decision == Entry.Decision.PENDING


def as_sent(entries):
    """Lines for the submitter, with the match that was found when the entries came in."""
    return [Line(entry, Facts.from_json(entry.fields), entry.paper, entry.reason) for entry in entries]


def to_decide(entries, form=None):
    """Lines for the moderator, matched with the papers here now; `form` is what was typed on the one."""
    many = [Facts.from_json(entry.fields) for entry in entries]
    matches = identity.match_all(many)
    return [_to_decide(*three, form) for three in zip(entries, many, matches, strict=True)]


def _to_decide(entry, facts, match, form):
    line = Line(entry, facts, entry.paper, entry.reason)
    if line.pending and entry.found != Entry.Found.INVALID:
        line.paper, line.why = (match.paper, match.why) if match else (None, "")
    line.form = form or DecisionForm()
    line.form.initial = {"techniques": facts.techniques}
    return line
