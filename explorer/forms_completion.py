"""The form that gives an entry what it lacks: title, authors, year and the rest, typed by hand."""

from django import forms

from explorer.forms_desk import DeskForm
from papers import completion, mentions
from papers.bibtex import VENUE_FIELDS
from papers.facts import Facts
from papers.models import Entry
from papers.plain_reference import read_by_hand

KINDS = {
    "article": "Journal article",
    "inproceedings": "Conference paper",
    "misc": "Preprint or other",
    "incollection": "Chapter of a book",
    "book": "Book",
    "phdthesis": "PhD thesis",
    "mastersthesis": "Master's thesis",
    "techreport": "Technical report",
}
# How papers/reference.py names what the form asks for.
FIELDS = {"author": "authors", "code": "code_url", "spectrum-ids": "identifiers"}
FIELDS |= dict.fromkeys(VENUE_FIELDS.values(), "venue") | {"howpublished": "venue"}


class CompletionForm(DeskForm):
    title = forms.CharField(required=False, max_length=1000, label="Title")
    authors = forms.CharField(
        required=False,
        label="Authors",
        help_text="One on a line: “Last, First” or “First Last”; a group in {braces}.",
        widget=forms.Textarea(attrs={"rows": 4, "spellcheck": "false"}),
    )
    more_authors = forms.BooleanField(required=False, label="There are more authors than these")
    year = forms.CharField(
        required=False, max_length=4, label="Year", widget=forms.TextInput(attrs={"inputmode": "numeric"})
    )
    month = forms.CharField(
        required=False, max_length=20, label="Month", widget=forms.TextInput(attrs={"inputmode": "numeric"})
    )
    kind = forms.ChoiceField(required=False, choices=KINDS.items(), label="Type")
    venue = forms.CharField(
        required=False, max_length=300, label="Venue", help_text="The journal, conference, school or archive."
    )
    identifiers = forms.CharField(
        required=False,
        label="Identifiers",
        help_text="arXiv ids, DOIs, OpenReview and ACL links, as many as there are.",
        widget=forms.Textarea(attrs={"rows": 2, "spellcheck": "false"}),
    )
    url = forms.CharField(required=False, max_length=500, label="Other address")
    code_url = forms.CharField(required=False, max_length=500, label="Code")
    abstract = forms.CharField(required=False, label="Abstract", widget=forms.Textarea(attrs={"rows": 5}))

    def clean(self):
        given = super().clean()
        if not self.errors:
            given["facts"], problems = read_by_hand(given["kind"] or "misc", self._fields(given))
            for name, sentence in problems:
                field = FIELDS.get(name, name)
                self.add_error(field if field in self.fields else None, sentence)
        return given

    def clean_identifiers(self):
        lines = [line for line in self.cleaned_data["identifiers"].splitlines() if line.strip()]
        for line in lines:
            if not mentions.is_nothing_else(line):
                raise forms.ValidationError(f"“{line[:60]}” is no arXiv id, DOI, OpenReview or ACL link.")
        return [name for line in lines for name in mentions.in_line(line)]

    def _fields(self, given):
        typed = {name: given[name] for name in ("title", "year", "month", "url", "abstract")}
        typed["author"] = given["authors"] + "\nothers" * given["more_authors"]
        typed["code"] = given["code_url"]
        typed[VENUE_FIELDS.get(given["kind"], "howpublished")] = given["venue"]
        typed["spectrum-ids"] = " ".join(":".join(name) for name in given["identifiers"])
        return {name: value for name, value in typed.items() if value.strip()}

    def complete(self, entry, who):
        """The entry as it is now, or None."""
        done = self.carry_out(
            lambda given: completion.complete(
                entry, given["facts"], notes=[f"Completed by hand by {who.username}."]
            )
        )
        if done is None and not self.errors:
            self.refuse("Somebody completed this entry, or decided on it, a moment ago.", 409)
        return done


def form_for(entry):
    """The form with what is already known of an entry."""
    facts = Facts.from_json(entry.fields)
    known = {name: getattr(facts, name) for name in ("title", "year", "month", "venue", "url", "code_url")}
    known |= {"abstract": facts.abstract, "more_authors": not facts.authors_complete}
    known["kind"] = facts.kind if facts.kind in KINDS else "misc"
    known["authors"] = "\n".join(facts.authors.split(" and "))
    known["identifiers"] = "\n".join(f"{scheme}:{value}" for scheme, value in facts.identifiers)
    if entry.format == Entry.Format.LINE:
        known["title"] = entry.raw
    return CompletionForm(initial=known)
