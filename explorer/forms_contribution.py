"""What people send with a bundle, and what moderators decide about it."""

from django import forms

from explorer.forms_desk import LONGEST_NOTE
from reproduce import contributions
from reproduce.recipes.bundle import SIZE_LIMIT

MOST_MIB = SIZE_LIMIT // 2**20


class ContributeForm(forms.Form):
    """`status` is the HTTP status that the page is to have; `there`, where the same bundle already stands."""

    status, there = 200, ""
    bundle = forms.FileField(
        label="The bundle",
        help_text=f"The file bundle.json that the recipe wrote, unchanged; at most {MOST_MIB} MiB.",
        widget=forms.FileInput(attrs={"accept": ".json,application/json"}),
    )
    note = forms.CharField(
        required=False,
        max_length=LONGEST_NOTE,
        label="Note for the moderators (optional)",
        help_text="Anything about the machine that the bundle does not tell: its cooling, or who shares it.",
        widget=forms.Textarea(attrs={"rows": 3}),
    )

    def send(self, who):
        """The stored Contribution; or None, with the reason at the field."""
        if not self.is_valid():
            self.status = 400
            return None
        try:
            return read_and_offer(self.cleaned_data["bundle"], who=who, note=self.cleaned_data["note"])
        except contributions.Refused as refused:
            self.refuse(str(refused), 400, "bundle")
            self.there = getattr(refused, "address", "")
            return None

    def refuse(self, sentence, status, field=None):
        self.add_error(field, sentence)
        self.status = status


class DecideForm(forms.Form):
    """A moderator's decision on one contribution."""

    status = 200
    action = forms.ChoiceField(choices=[(word, word) for word in ("accept", "reject", "take back")])
    why = forms.CharField(required=False, max_length=LONGEST_NOTE)

    @property
    def tried(self):
        return self.data.get("action", "")

    def decide(self, contribution, who):
        """A sentence that says what was done, or None, with the reason among the errors."""
        if not self.is_valid():
            self.status = 400
            return None
        why = self.cleaned_data["why"]
        try:
            return self._done(contribution, who, why)
        except contributions.Refused as refused:
            self.add_error(None, str(refused))
            self.status = 409
            return None

    def _done(self, contribution, who, why):
        action = self.cleaned_data["action"]
        if action == "accept":
            run = contributions.accept(contribution, who=who, why=why)
            return f"Accepted: it is shown as run {run.pk}, apart from this pool's own."
        if action == "reject":
            contributions.reject(contribution, who=who, reason=why)
            return "Rejected; the sender can read your reason."
        contributions.take_back(contribution, who=who, why=why)
        return "Taken back: it waits for a decision again, and nothing of it is shown."


def read_and_offer(upload, *, who, note):
    """Keep an uploaded file; of one too large, no more than that is read. Raises contributions.Refused."""
    raw = upload.read(SIZE_LIMIT + 1)
    return contributions.offer(raw, who=who, filename=upload.name, note=note)
