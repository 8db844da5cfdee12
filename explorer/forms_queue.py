"""What moderators ask of the queue, and what they decide of many entries at once."""

from datetime import timedelta

from django import forms
from django.db.models import Q
from django.utils import timezone

from explorer import bulk
from explorer.forms_desk import LONGEST_NOTE, DeskForm
from papers.models import Entry, Technique

AGES = {
    "day": ("sent within a day", lambda now: Q(submission__created__gt=now - timedelta(days=1))),
    "week": ("sent within a week", lambda now: Q(submission__created__gt=now - timedelta(days=7))),
    "over-week": ("waiting for over a week", lambda now: Q(submission__created__lte=now - timedelta(days=7))),
    "over-month": (
        "waiting for over a month",
        lambda now: Q(submission__created__lte=now - timedelta(days=30)),
    ),
}
MOST_AT_ONCE = 200


class QueueForm(forms.Form):
    """A filter of entries, all of it in the address. Whatever cannot be understood filters nothing."""

    q = forms.CharField(required=False, max_length=200, label="Words in it")
    found = forms.ChoiceField(
        required=False,
        label="Found",
        choices=[("", "anything"), *((state.value, state.label.lower()) for state in Entry.Found)],
    )
    by = forms.CharField(required=False, max_length=150, label="Sent by")
    year = forms.IntegerField(required=False, min_value=1900, max_value=2100, label="Year")
    age = forms.ChoiceField(
        required=False, label="Sent", choices=[("", "any time"), *((key, AGES[key][0]) for key in AGES)]
    )

    def matching(self):
        """The condition that entries must meet."""
        given = self.cleaned_data if self.is_valid() else {}
        found = Q()
        if given.get("q"):
            found &= Q(raw__icontains=given["q"]) | Q(fields__title__icontains=given["q"])
        if given.get("found"):
            found &= Q(found=given["found"])
        if given.get("by"):
            found &= Q(submission__submitted_by__username__icontains=given["by"])
        if given.get("year"):
            found &= Q(fields__year=given["year"])
        if given.get("age"):
            found &= AGES[given["age"]][1](timezone.now())
        return found

    @property
    def narrows(self):
        return self.is_valid() and any(self.cleaned_data.values())


class BulkForm(DeskForm):
    """One decision on many entries: those that were ticked, or all that match the filter."""

    action = forms.ChoiceField(choices=[(word, word) for word in ("accept", "merge", "reject")])
    entry = forms.TypedMultipleChoiceField(
        required=False, coerce=int, error_messages={"invalid_choice": "One of the entries is not here."}
    )
    all = forms.BooleanField(required=False)
    techniques = forms.MultipleChoiceField(
        required=False, choices=lambda: Technique.objects.values_list("slug", "name")
    )
    why = forms.CharField(required=False, max_length=LONGEST_NOTE)
    confirmed = forms.BooleanField(required=False)

    def __init__(self, *args, matching=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.matching = Entry.objects.none() if matching is None else matching
        typed = self.data.getlist("entry") if self.is_bound else []
        ids = {int(each) for each in typed[: MOST_AT_ONCE + 1] if each.isascii() and each.isdigit()}
        known = Entry.objects.filter(pk__in=[each for each in ids if each < 2**63])
        self.fields["entry"].choices = [(str(pk), str(pk)) for pk in known.values_list("pk", flat=True)]

    def clean(self):
        given = super().clean()
        if given.get("all"):
            given["entry"] = list(self.matching.values_list("pk", flat=True)[: MOST_AT_ONCE + 1])
        if not given.get("entry") and "entry" not in self.errors:
            self.add_error(None, "Tick at least one entry.")
        elif len(given.get("entry", ())) > MOST_AT_ONCE:
            self.add_error(None, f"At most {MOST_AT_ONCE} entries at once; narrow the filter.")
        if given.get("action") == "reject" and not given.get("why", "").strip():
            self.add_error("why", "Give the reason; the submitters will read it.")
        return given

    def outcomes(self, who):
        """What would become of each entry; once confirmed, what did. None, with reasons among the errors."""
        return self.carry_out(lambda given: self._decide(given, who))

    def _decide(self, given, who):
        entries = Entry.objects.select_related("submission").defer("submission__text")
        entries = entries.filter(pk__in=given["entry"]).order_by("submission_id", "position")
        act = bulk.carry_out if given["confirmed"] else bulk.try_out
        return act(entries, given["action"], who=who, techniques=given["techniques"], why=given["why"])

    @property
    def chosen(self):
        """The entries as they stand in hidden fields of the next step, and not "all that match" by then."""
        return self.cleaned_data.get("entry") or []
