"""The pages of the pool as people use them: asking, cancelling, coming back after signing in, odd addresses."""

import pytest
from django.contrib.auth.models import Group

from reproduce.models import Run
from tests.desk import text_of
from tests.making import make_paper
from tests.making_runs import make_run

pytestmark = pytest.mark.django_db
ASK = "/recipes/flashattention-io/run"


def cancelled_by(client, user, run):
    client.force_login(user)
    return client.post(f"/runs/{run.pk}/cancel")


def test_who_asked_and_operators_cancel_and_others_are_told_why_not(client, ben, cy):
    run, other = make_run(requested_by=ben), make_run(requested_by=ben)
    refused = cancelled_by(client, cy, run)
    assert refused.status_code == 403
    assert "Only who asked for a run, or an operator, may cancel it." in text_of(refused)
    assert cancelled_by(client, ben, run).url == f"/runs/{run.pk}"
    cy.groups.add(Group.objects.get_or_create(name="operators")[0])
    assert cancelled_by(client, cy, other).url == f"/runs/{other.pk}"
    assert set(Run.objects.values_list("status", flat=True)) == {"cancelled"}


@pytest.mark.parametrize(
    ("late", "page"), [(ASK, "/recipes/flashattention-io"), ("/runs/7/cancel", "/runs/7")]
)
def test_signing_in_late_leads_back_to_a_page(client, ben, late, page):
    assert client.post(late).url == f"/account/login/?next={late}"
    client.force_login(ben)
    assert client.get(late).url == page
    assert not Run.objects.exists()


def test_a_refused_request_keeps_all_that_was_chosen(client, ben):
    make_paper(identifiers=[("arxiv", "2205.14135")])
    client.force_login(ben)
    page = client.post(ASK, {"preset": "smoke", "batch": "many", "fresh": "on"})
    assert page.status_code == 400
    assert 'value="many"' in page.content.decode()
    assert '<input type="checkbox" name="fresh" checked>' in page.content.decode()


def test_odd_addresses_are_answered(client):
    assert client.get("/runs?status=%00&recipe=%00").status_code == 200
    missing = client.get("/runs/999999")
    assert missing.status_code == 404
    assert "There is no run 999999. All of them are listed at /runs." in text_of(missing)
