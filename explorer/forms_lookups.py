"""What moderators type about updates, and they and operators about saved queries."""

from django import forms
from django.db import IntegrityError, transaction
from django.utils import timezone

from explorer.forms_desk import LONGEST_NOTE, DeskForm
from papers import updates
from papers.models import SavedQuery


class UpdateForm(DeskForm):
    action = forms.ChoiceField(choices=[(word, word) for word in ("accept", "decline")])
    why = forms.CharField(required=False, max_length=LONGEST_NOTE)

    @property
    def tried(self):
        """The action that could not be carried out."""
        return self.data.get("action", "")

    def decide(self, update, who):
        """A sentence that says what was done, or None."""
        return self.carry_out(lambda given: getattr(self, f"_{given['action']}")(update, who, given["why"]))

    def _accept(self, update, who, why):
        updates.accept(update, who=who, why=why)
        return f"Accepted: “{update.paper.title}” says so now, and its history tells why."

    def _decline(self, update, who, why):
        updates.decline(update, who=who, reason=why)
        return f"Declined: “{update.paper.title}” stays as it is."


class SavedQueryForm(DeskForm, forms.ModelForm):
    class Meta:
        model = SavedQuery
        fields = ["text", "technique", "on"]
        labels = {"text": "Query", "technique": "Technique that it hints at", "on": "Ask it each day"}
        help_texts = {"text": ""}
        widgets = {"text": forms.TextInput(attrs={"spellcheck": "false", "size": 60})}

    def __init__(self, *given, **more):
        super().__init__(*given, **more)
        self.fields["technique"].empty_label = "none"

    def keep(self, who):
        """The SavedQuery, to be asked soon; None with the reasons among the errors."""
        if not self.is_valid():
            self.status = 400
            return None
        query = self.save(commit=False)
        query.changed_by, query.next_try, query.fault = who, timezone.now(), ""
        try:
            with transaction.atomic():
                query.save()
        except IntegrityError:  # somebody typed the same a moment ago
            self.refuse("This query is saved already.", 409)
            return None
        return query
