"""What readers propose that a paper claims, and what moderators decide about it."""

from django import forms
from django.core.exceptions import ValidationError

from explorer.forms_desk import LONGEST_NOTE, DeskForm
from papers import moderation, proposals
from papers.metrics import METRICS
from papers.models import ClaimedNumber

UNITS = {"x": "×"}
BETTER = [("", "as usual for this metric"), ("higher", "higher is better"), ("lower", "lower is better")]


def longest(name):
    return ClaimedNumber._meta.get_field(name).max_length


def metrics():
    """The vocabulary; the kind, ratio or absolute, follows from the metric."""
    for metric in METRICS.values():
        unit = UNITS.get(metric.unit, metric.unit)
        yield metric.slug, f"{metric.name}{f', {unit}' if unit else ''} ({metric.kind})"


class ProposalForm(DeskForm):
    """A claim as the paper states it; with a claim to correct, what that should say."""

    metric = forms.ChoiceField(choices=[("", "Choose"), *metrics()], label="Metric")
    value = forms.FloatField(label="Value", help_text="5.71 for 5.71×; a fraction as 0.35")
    low = forms.FloatField(required=False, label="from (optional)")
    high = forms.FloatField(required=False, label="to (optional)")
    range_printed = forms.BooleanField(required=False, label="The paper itself prints this range")
    unit = forms.CharField(
        required=False,
        max_length=longest("unit"),
        label="Unit (optional)",
        help_text="Only where it says more than the metric: “x, end to end”",
    )
    better = forms.ChoiceField(required=False, choices=BETTER, label="Direction")
    baseline = forms.CharField(required=False, max_length=longest("baseline"), label="Against which baseline")
    setting = forms.CharField(
        required=False,
        max_length=longest("setting"),
        label="In which setting",
        help_text="Hardware, model, shapes",
    )
    locator = forms.CharField(
        max_length=longest("locator"),
        label="Where the paper says so",
        help_text="“Table 2, row 3”, “Section 4.1”, “Abstract”",
    )
    why = forms.CharField(
        max_length=LONGEST_NOTE,
        label="Why (public once it is accepted)",
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Best the sentence of the paper, word for word",
    )
    by_author = forms.BooleanField(required=False, label="I am an author of this paper")

    def __init__(self, *args, paper, claim=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.paper, self.claim = paper, claim
        for name, field in self.fields.items():
            if field.help_text:
                field.widget.attrs["aria-describedby"] = f"{name}-help"

    def clean(self):
        given = super().clean()
        if not self.errors and (
            found := list(proposals.faults(proposals.whole(self.claimed()), given["why"]))
        ):
            raise ValidationError(found)
        return given

    def claimed(self):
        """The values alone, in the terms of proposals.py."""
        return {name: value for name, value in self.cleaned_data.items() if name not in {"why", "by_author"}}

    def send(self, who):
        """The stored ClaimProposal, or None."""
        return self.carry_out(
            lambda given: proposals.propose(
                self.paper,
                self.claimed(),
                who=who,
                why=given["why"],
                by_author=given["by_author"],
                corrects=self.claim,
            )
        )


class DecideProposalForm(DeskForm):
    """A moderator's decision on one proposal."""

    action = forms.ChoiceField(choices=[(word, word) for word in ("accept", "reject")])
    verified = forms.BooleanField(required=False)
    why = forms.CharField(required=False, max_length=LONGEST_NOTE)

    @property
    def tried(self):
        return self.data.get("action", "")

    def decide(self, proposal, who):
        """A sentence that says what was done, or None."""
        return self.carry_out(lambda given: self._done(proposal, who, **given))

    def _done(self, proposal, who, action, verified, why):
        if action == "reject":
            moderation.reject_proposal(proposal, who=who, reason=why)
            return "Rejected; whoever proposed it can read your reason."
        claim = moderation.accept_proposal(proposal, who=who, why=why, verified=verified)
        return f"Accepted: it stands as {claim.slug} on the paper's page."
