"""What people type at the desk. A form that cannot be carried out keeps it all, and says why."""

from urllib.parse import urlsplit

from django import forms
from django.core.exceptions import ValidationError

from papers import identity, intake, merging, moderation
from papers.models import Paper, Technique
from reproduce import catalogue

REFUSALS = (intake.Refused, moderation.Refused)
LONGEST_NOTE = 2000
ACCEPTED = ".bib,.bibtex,.ris,.json,.csljson,.txt,text/plain,application/x-bibtex,application/json"
EXAMPLES = """arXiv:2205.14135
https://doi.org/10.1145/3600006.3613165
https://openreview.net/forum?id=H4DqfPSibmx
@inproceedings{key, title = {...}, author = {...}, year = {2024}}"""


class DeskForm(forms.Form):
    """`status` is the HTTP status that the page with this form is to have."""

    status = 200

    def carry_out(self, act):
        """What act(cleaned_data) returned; or None, with the reasons among the errors."""
        if not self.is_valid():
            self.status = 400
            return None
        try:
            return act(self.cleaned_data)
        except REFUSALS as refused:
            self.refuse(str(refused), 400 if isinstance(refused, intake.Refused) else 409)
            return None

    def refuse(self, sentence, status):
        self.add_error(None, sentence)
        self.status = status


class SubmitForm(DeskForm):
    text = forms.CharField(
        required=False,
        strip=False,
        label="BibTeX, RIS, CSL-JSON, DOIs, arXiv ids or links",
        widget=forms.Textarea(
            attrs={"rows": 14, "spellcheck": "false", "aria-describedby": "formats", "placeholder": EXAMPLES}
        ),
    )
    file = forms.FileField(
        required=False,
        allow_empty_file=True,
        label="or a file of these",
        widget=forms.FileInput(attrs={"accept": ACCEPTED}),
    )
    note = forms.CharField(
        required=False,
        max_length=LONGEST_NOTE,
        label="Note for the moderators (optional)",
        widget=forms.Textarea(attrs={"rows": 3}),
    )

    def clean(self):
        given = super().clean()
        upload, text = given.get("file"), given.get("text", "")
        if upload and text.strip():
            raise ValidationError("You pasted text and chose a file. Send one now and the other afterwards.")
        if upload:
            given["text"] = self._read(upload)
        elif not text.strip() and not self.errors:
            raise ValidationError("Paste at least one reference, or choose a file.")
        return given

    def _read(self, upload):
        """Its text, which from now on counts as pasted: a browser would forget the file at the next error."""
        if upload.size > intake.MAX_BYTES:
            most = intake.MAX_BYTES // 2**20
            raise ValidationError(f"{upload.name} is larger than {most} MB; send it in parts.")
        try:
            text = intake.decode(upload.read())
        except intake.Refused as refused:
            raise ValidationError(f"{upload.name}: {refused}") from refused
        self.data = self.data.copy()
        self.data["text"] = text
        return text

    def draft(self):
        """What was typed, as it waits in a session."""
        return {"text": self.cleaned_data["text"], "note": self.cleaned_data["note"]}

    def send(self, who, within_s=None):
        """The stored Submission, or None. What takes longer than `within_s` its page reads on."""
        return self.carry_out(
            lambda given: intake.submit(who=who, filename=self._filename(), within_s=within_s, **self.draft())
        )

    def _filename(self):
        return self.cleaned_data["file"].name if self.cleaned_data["file"] else ""


class DecisionForm(DeskForm):
    """What a moderator decides on one entry: `action`, and what that action needs."""

    action = forms.ChoiceField(choices=[(word, word) for word in ("accept", "merge", "reject", "reopen")])
    techniques = forms.MultipleChoiceField(
        required=False, choices=lambda: Technique.objects.values_list("slug", "name")
    )
    paper = forms.CharField(required=False, max_length=500)
    why = forms.CharField(required=False, max_length=LONGEST_NOTE)

    @property
    def tried(self):
        """The action that could not be carried out."""
        return self.data.get("action", "")

    @property
    def ticked(self):
        """The slugs of techniques: those that the moderator chose, else those that the entry names."""
        if self.tried == "accept":
            return self.data.getlist("techniques")
        return self.initial["techniques"]

    def clean(self):
        given = super().clean()
        if given.get("action") == "merge" and "paper" in given:
            given["paper"] = find_paper(typed := given["paper"])
            if given["paper"] is None:
                remedy = "Give its key, arXiv id, DOI or address."
                self.add_error("paper", f"No paper here is named “{typed}”. {remedy}")
        return given

    def decide(self, entry, who):
        """A sentence that says what was done, or None."""
        return self.carry_out(lambda given: getattr(self, f"_{given['action']}")(entry, who, given))

    def _accept(self, entry, who, given):
        paper = moderation.accept(entry, who=who, techniques=given["techniques"], why=given["why"])
        return f"Accepted: “{paper.title}” is in the list."

    def _merge(self, entry, who, given):
        paper = moderation.merge(entry, given["paper"], who=who, why=given["why"])
        return f"Merged into “{paper.title}”."

    def _reject(self, entry, who, given):
        moderation.reject(entry, who=who, reason=given["why"])
        return "Rejected; the submitter can read your reason."

    def _reopen(self, entry, who, given):
        moderation.reopen(entry, who=who, why=given["why"])
        return "Reopened: it waits for a decision again."


class MergePapersForm(DeskForm):
    """Which paper is the same as `kept`, and why it goes into it."""

    other = forms.CharField(max_length=500, label="The other paper: its key, arXiv id, DOI or address")
    why = forms.CharField(required=False, max_length=LONGEST_NOTE)

    def __init__(self, *args, kept, **kwargs):
        super().__init__(*args, **kwargs)
        self.kept = kept

    def clean_other(self):
        typed = self.cleaned_data["other"]
        if (paper := find_paper(typed)) is None:
            raise ValidationError(
                f"No paper here is named “{typed}”. Give its key, arXiv id, DOI or address."
            )
        return paper

    @property
    def paper(self):
        """The other paper, also once the merge was refused."""
        known = self.is_bound and "other" not in self.errors
        return self.cleaned_data["other"] if known else None

    def planned(self):
        """What the merge would do; None where it cannot be, with the reason among the errors."""
        if self.paper is None:
            self.status = 400 if self.is_bound else 200
            return None
        try:
            return self._plan(self.paper)
        except moderation.Refused as refused:
            if str(refused) not in self.non_field_errors():
                self.refuse(str(refused), 409)
            return None

    def merge(self, who):
        """A sentence that says what was done, or None."""
        return self.carry_out(lambda given: self._merge(given, who))

    def _plan(self, other):
        planned = merging.plan(self.kept, other)
        renamed = {claim.slug for claim, slug in planned.claims if claim.slug != slug}
        for recipe in catalogue.recipes_of(other):
            if named := renamed & {measure.claim for measure in recipe.measures}:
                raise moderation.Refused(
                    f"The recipe {recipe.slug} measures the claim {min(named)} of {other.key}, and would "
                    f"then be judged by the claim of that name of {self.kept.key}. Keep {other.key} instead."
                )
        return planned

    def _merge(self, given, who):
        self._plan(given["other"])
        moderation.merge_papers(self.kept, given["other"], who=who, why=given["why"])
        return f"Merged: {given['other'].key} leads here now, for ever."


class UndoForm(DeskForm):
    why = forms.CharField(required=False, max_length=LONGEST_NOTE)

    def undo(self, change, who):
        """The Change that took it back, or None."""
        return self.carry_out(lambda given: moderation.undo(change, who=who, why=given["why"]))


def find_paper(typed):
    """The paper by its key, its address here, or any identifier in any spelling; None when there is none."""
    typed = typed.strip()
    key = urlsplit(typed).path.rpartition("/papers/")[2] if "/papers/" in typed else typed
    here = Paper.objects.filter(key=key) | Paper.objects.filter(former_keys__key=key)
    if paper := here.distinct().first():
        return paper
    name = identity.recognise(typed)
    return identity.resolve(*name) if name else None
