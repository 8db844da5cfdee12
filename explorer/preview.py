"""What an entry says and what it would do here, for those who sent it and for those who decide."""

from collections import Counter
from dataclasses import dataclass, field

from django.db.models import Count

from explorer.forms_desk import DecisionForm
from explorer.history import beside, differences
from explorer.twins import compared
from papers import completion, identity, mentions, moderation, suggestions
from papers.facts import Facts
from papers.models import Entry, Paper, Technique

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
    """One entry. `paper` is what it would be merged with or what it became; `why`, how it was recognised.

    `doubtful`: it may be that paper or another. `suggested`: techniques with their chance in percent.
    """

    entry: Entry
    facts: Facts
    paper: Paper | None
    why: str = ""
    doubtful: bool = False
    suggested: list = field(default_factory=list)
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
    def compared(self):
        """The entry beside the paper that it may be."""
        return compared(Facts.of(self.paper), self.facts)

    @property
    def pending(self):
        return self.entry.decision == Entry.Decision.PENDING


def as_sent(entries):
    """Lines for the submitter, with the match that was found when the entries came in."""
    lines = [Line(entry, Facts.from_json(entry.fields), entry.paper, entry.reason) for entry in entries]
    for line in lines:
        if line.entry.found == Entry.Found.POSSIBLE and line.paper:
            line.doubtful, line.why = True, line.why.partition(": ")[2].rstrip(".")
    return _with_suggestions(lines, 1)


def to_decide(entries, form=None):
    """Lines for the moderator, matched with the papers here now; `form` is what was typed on the one."""
    lines = [Line(entry, Facts.from_json(entry.fields), entry.paper, entry.reason) for entry in entries]
    _match([line for line in lines if line.pending and line.entry.found != Entry.Found.INVALID])
    for line in lines:
        line.form = form or DecisionForm()
        line.form.initial = {"techniques": line.facts.techniques}
    return _with_suggestions(lines, suggestions.SHOWN)


def _match(lines):
    """Give each the paper that it is by now, or may be."""
    for line, match in zip(lines, identity.match_all([line.facts for line in lines]), strict=True):
        line.paper, line.why = (match.paper, match.why) if match else (None, "")
    unsure = [line for line in lines if not line.paper]
    for line, match in zip(unsure, identity.suspect_all([line.facts for line in unsure]), strict=True):
        if match:
            line.paper, line.why, line.doubtful = match.paper, match.why, True


def _with_suggestions(lines, most):
    """New papers with the techniques that their titles suggest: slug, name and chance in percent."""
    model = suggestions.current() if lines else None
    names = dict(Technique.objects.values_list("slug", "name")) if model else {}
    for line in lines if model else ():
        if line.pending and line.facts.title and (line.doubtful or not line.paper):
            found = model.suggest(line.facts, most)
            line.suggested = [
                (one.technique, names[one.technique], round(100 * one.confidence))
                for one in found
                if one.technique in names
            ]
    return lines
