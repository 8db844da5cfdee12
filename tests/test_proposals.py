"""Claims from readers: proposed, decided on once, kept and undone; and runs keep the claim they were judged by."""

import pytest

from papers import moderation, proposals
from papers.models import Change, Claim, ClaimProposal
from reproduce import evidence
from tests.making import make_claim, make_paper
from tests.making_runs import make_run
from tests.test_evidence import report

pytestmark = pytest.mark.django_db
VALUES = {"metric": "speedup_x", "value": 3.0, "locator": "Table 2", "setting": "A100"}


def refusal(act, *args, **kwargs):
    with pytest.raises(moderation.Refused) as refused:
        act(*args, **kwargs)
    return str(refused.value)


def propose(paper, who, corrects=None, by_author=False, **over):
    values = (proposals.standing(corrects) if corrects else VALUES) | over
    why = "The table says so"
    return proposals.propose(paper, values, who=who, why=why, by_author=by_author, corrects=corrects)


def test_a_new_claim_is_born_when_a_moderator_accepts_it(ada, ben):
    paper = make_paper()
    make_claim(paper)
    proposal = propose(paper, ben)
    assert propose(paper, ben) == proposal  # a second click is no second proposal
    claim = moderation.accept_proposal(proposal, who=ada, verified=True)
    assert (claim.slug, claim.provenance, claim.verified, claim.position) == (
        *("speedup_x-2", "community", True, 1),
    )
    assert (claim.kind, claim.unit, claim.better, claim.low, claim.high) == ("ratio", "x", "higher", 3, 3)
    change = Change.objects.get()
    assert (change.action, change.subject) == ("claim", f"claim {paper.key}/speedup_x-2")
    moderation.undo(change, who=ada, why="Another table")
    proposal.refresh_from_db()
    assert (proposal.decision, proposal.claim, Claim.objects.count()) == ("pending", None, 1)


def test_a_correction_changes_what_it_is_about_and_nothing_else(ada, ben, cy):
    claim = make_claim(paper := make_paper())
    value, setting = propose(paper, ben, claim, value=2.2), propose(paper, cy, claim, setting="H100")
    late = propose(paper, cy, claim, value=2.4)
    moderation.accept_proposal(value, who=ada)
    moderation.accept_proposal(setting, who=ada)
    claim.refresh_from_db()
    assert (claim.value, claim.low, claim.setting) == (2.2, 1.5, "H100")
    assert refusal(moderation.accept_proposal, late, who=ada) == (
        "The claim's value was changed since this was proposed; reject it and say so."
    )
    correction = Change.objects.get(after__value=2.2)
    assert (correction.action, correction.before) == ("correct", {"value": 2.0})
    moderation.undo(correction, who=ada, why="It was right")
    claim.refresh_from_db()
    value.refresh_from_db()
    assert (claim.value, claim.setting, value.decision) == (2.0, "H100", "pending")


def test_who_decides_and_once(ada, ben):
    proposal = propose(make_paper(), ben)
    assert refusal(moderation.accept_proposal, proposal, who=ben).startswith("Only a moderator decides")
    assert refusal(moderation.reject_proposal, proposal, who=ada, reason=" ").startswith("Give the reason")
    moderation.reject_proposal(proposal, who=ada, reason="Not in the paper")
    assert refusal(moderation.accept_proposal, proposal, who=ada).startswith("Already rejected by ada on")
    moderation.undo(Change.objects.get(), who=ada, why="It is, on page 3")
    assert ClaimProposal.objects.get().decision == "pending"


@pytest.mark.parametrize(
    ("over", "sentence"),
    [
        ({"metric": "beauty"}, "There is no metric beauty; choose one of the vocabulary."),
        ({"low": 4.0}, "The range must hold the value: low ≤ value ≤ high."),
        ({"value": float("nan")}, "Value and range must be numbers."),
        ({"locator": " "}, "Say where the paper says so: a table, a figure, a section."),
    ],
)
def test_an_unsound_claim_is_refused_with_the_remedy(ben, over, sentence):
    assert refusal(propose, make_paper(), ben, **over) == sentence


def test_a_run_keeps_the_claim_it_was_judged_by(ada, ben, client, tmp_path, monkeypatch):
    paper = make_paper([("arxiv", "2205.14135")])
    claim = make_claim(paper, value=5.71, low=5.0, high=7.6)
    old = make_run(paper=paper, preset="full", device="cuda")
    evidence.store_measurements(old, report())
    proposal = propose(paper, ben, claim, by_author=True, value=20.0, low=19.0, high=21.0)
    moderation.accept_proposal(proposal, who=ada, why="Erratum")
    judged = old.measurements.get(headline=True)
    assert (judged.verdict, judged.claim.value, judged.judged_by.value) == ("reproduced", 20, 5.71)
    assert judged.corrected_since
    new = make_run(paper=paper, preset="full", device="cuda")
    evidence.store_measurements(new, report())
    judged_anew = new.measurements.get(headline=True)
    assert (judged_anew.verdict, judged_anew.corrected_since) == ("same_direction", False)
    moderation.undo(Change.objects.get(action="correct"), who=ada, why="No erratum after all")
    assert not old.measurements.get(headline=True).corrected_since


def test_a_claim_that_a_run_was_judged_by_is_not_removed(ada, ben):
    paper = make_paper([("arxiv", "2205.14135")])
    moderation.accept_proposal(propose(paper, ben), who=ada)
    run = make_run(paper=paper, preset="full", device="cuda")
    evidence.store_measurements(run, report())
    assert refusal(moderation.undo, Change.objects.get(), who=ada, why="Oh") == (
        "A run was judged by this claim; it cannot be removed."
    )
