"""Proposing a claim on a paper's page: kept through errors and signing in, decided on, and shown beside it."""

import pytest

from papers.models import Claim, ClaimProposal
from tests.desk import text_of
from tests.making import make_claim, make_paper
from tests.making_programs import make_program
from tests.making_runs import make_measurement, make_run

TYPED = {"metric": "speedup_x", "value": "3", "locator": "Table 2", "why": "It says so", "setting": "A100"}


@pytest.fixture
def paper(db):
    paper = make_paper(key="one2024paper")
    make_claim(paper)
    return paper


ADDRESS = "/papers/one2024paper/claims/propose"


def test_what_was_typed_survives_errors_and_signing_in(client, ben, paper):
    wrong = client.post(ADDRESS, TYPED | {"low": "5"})
    assert wrong.status_code == 400
    assert "The range must hold the value" in text_of(wrong)
    assert 'value="A100"' in wrong.content.decode()
    away = client.post(ADDRESS, TYPED)
    assert away.url == f"/account/login/?next={ADDRESS}"
    client.force_login(ben)
    page = client.get(ADDRESS)
    assert "What you typed before you signed in is below" in text_of(page)
    assert page.context["form"]["setting"].value() == "A100"
    sent = client.post(ADDRESS, TYPED)
    proposal = ClaimProposal.objects.get()
    assert (sent.url, proposal.proposed_by, proposal.value) == (f"/proposals/{proposal.pk}", ben, 3)
    assert not client.get(ADDRESS).context["form"].initial


@pytest.mark.parametrize("claim", ["none", "none%00"])
def test_a_claim_that_is_not_there_cannot_be_corrected(client, paper, claim):
    assert client.get(f"{ADDRESS}?claim={claim}").status_code == 404


def test_an_authors_correction_is_decided_on_and_stands_beside_the_claim(client, ada, ben, paper):
    run = make_run(paper=paper, preset="full", status="done", finished="2026-01-02T00:00Z", device="cuda")
    claim = paper.claims.get()
    judged = {"value": 2.0, "low": 1.5, "high": 2.5, "unit": "x"}
    judged = {name: getattr(claim, name) for name in ("metric", "kind", "better", "baseline")} | judged
    judged |= {"range_printed": False, "setting": "", "locator": "Table 1"}
    make_measurement(run, claim=claim, claimed=judged, verdict="reproduced")
    client.force_login(ben)
    form = client.get(f"{ADDRESS}?claim=speedup_x").context["form"]
    assert (form["value"].value(), form["locator"].value()) == (2.0, "Table 1")
    typed = TYPED | {"value": "2.2", "low": "1.5", "high": "2.5", "locator": "Table 1", "by_author": "on"}
    client.post(f"{ADDRESS}?claim=speedup_x", typed | {"setting": "", "why": "A misprint"})
    proposal = ClaimProposal.objects.get()
    assert "Correction: Speed-up 2.2× by an author" in text_of(client.get("/proposals"))

    client.force_login(ada)
    page = client.get(f"/proposals/{proposal.pk}")
    assert [(row.label, row.old, row.new) for row in page.context["rows"]] == [("Value", "2.0", "2.2")]
    client.post(f"/proposals/{proposal.pk}", {"action": "accept", "verified": "on"})
    shown = text_of(client.get(paper.get_absolute_url()))
    assert "The authors say 2.2× (correction," in shown
    assert "before: 2×): A misprint" in shown
    assert "as it stood then, 2× (1.5× – 2.5×); it has since been corrected to 2.2×." in shown
    assert "claim corrected claim one2024paper/speedup_x by ada" in shown
    measured = client.get("/api/papers/one2024paper").json()["measurements"][0]
    assert (measured["claimed"]["value"], measured["corrected_since"]) == (2.0, True)
    again = client.post(f"/proposals/{proposal.pk}", {"action": "reject", "why": "No"})
    assert again.status_code == 409
    assert "Already accepted by ada on" in text_of(again)


def test_whoever_proposed_it_reads_the_reason_and_nobody_else(client, ada, ben, cy, paper):
    client.force_login(ben)
    address = client.post(ADDRESS, TYPED).url
    for user, status in ((cy, 404), (ben, 403)):
        client.force_login(user)
        if user == cy:
            assert client.get(address).status_code == status
        else:
            assert client.post(address, {"action": "accept"}).status_code == status
    client.force_login(ada)
    assert client.post(address, {"action": "reject", "why": ""}).status_code == 409
    client.post(address, {"action": "reject", "why": "Not in the paper"})
    client.force_login(ben)
    assert "Not in the paper" in text_of(client.get(address))
    assert "Not in the paper" in text_of(client.get("/proposals?show=rejected"))


def test_a_program_proposes_a_claim(ben, paper):
    program = make_program(ben)
    asked = {"paper": paper.key, "metric": "speedup_x", "value": 3, "locator": "Table 2", "why": "So"}
    answer = program.post("/api/proposals", asked)
    assert (answer.status_code, answer.json()["unit"], answer.json()["is_correction"]) == (201, "x", False)
    assert program.get("/api/proposals").json()["count"] == 1
    correction = program.post("/api/proposals", asked | {"claim": "speedup_x"}).json()
    assert (correction["is_correction"], correction["claim"]) == (True, "speedup_x")
    assert program.post("/api/proposals", asked | {"claim": "none"}).status_code == 404
    bad = program.post("/api/proposals", asked | {"low": 9})
    assert bad.json()["error"]["message"] == "The range must hold the value: low ≤ value ≤ high."
    assert Claim.objects.count() == 1


def test_longer_lists_cost_no_more_queries(client, ada, ben, paper, django_assert_num_queries):
    client.force_login(ben)
    client.post(ADDRESS, TYPED)
    client.force_login(ada)
    client.get("/proposals")
    with django_assert_num_queries(8):
        client.get("/proposals")
    client.force_login(ben)
    for value in ("4", "5"):
        client.post(ADDRESS, TYPED | {"value": value})
    client.force_login(ada)
    client.get("/proposals")
    with django_assert_num_queries(8):
        client.get("/proposals")
