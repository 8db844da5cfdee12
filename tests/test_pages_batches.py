"""Batches as people and programs use them: asking, watching, cancelling, standing orders, and who may what."""

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from reproduce.models import Batch, BatchMember, Run, Schedule
from tests.desk import text_of
from tests.making import make_claim, make_paper, make_technique
from tests.making_runs import make_measurement, make_run, make_worker
from tests.test_batches import FLASH, LORA, make_operator, members_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("two_recipes")]
ALL = {"kind": "all", "preset": "smoke"}
NO_BODY = {"status": "done", "finished": "2026-01-02T03:04:05Z"}


@pytest.fixture
def papers(db):
    tiling = make_technique(slug="tiling", name="Tiling")
    flash = make_paper(identifiers=[("arxiv", "2205.14135")], techniques=[tiling])
    return flash, make_paper(identifiers=[("arxiv", "2106.09685")])


@pytest.fixture
def operator(cy):
    return make_operator(cy)


def queries_of(client, address):
    with CaptureQueriesContext(connection) as captured:
        assert client.get(address).status_code == 200
    return len(captured)


def make_batch(who, *runs, **over):
    batch = Batch.objects.create(**{"title": "Invented batch", "asked_by": who} | over)
    for run in runs:
        BatchMember.objects.create(batch=batch, run=run)
    return batch


def test_a_signed_in_person_asks_for_many_and_lands_on_their_batch(client, papers, ben):
    client.force_login(ben)
    answer = client.post("/batches", ALL)
    batch = Batch.objects.get()
    assert (answer.url, members_of(batch)) == (f"/batches/{batch.pk}", [(FLASH, False), (LORA, False)])
    text = text_of(client.get(answer.url))
    assert "Every recipe, smoke Asked for by ben on" in text
    assert "0 of 2 ended · 2 waiting" in text


def test_asked_afresh_what_has_a_result_is_measured_again(client, papers, ben):
    client.force_login(ben)
    client.post("/batches", {**ALL, "kind": "technique", "technique": "tiling"})
    Run.objects.update(status="done", finished=timezone.now())
    client.post("/batches", {**ALL, "kind": "technique", "technique": "tiling", "fresh": "on"})
    assert [run.repeat for run in Run.objects.order_by("pk")] == [0, 1]


def test_the_form_shows_the_quota_and_only_techniques_that_a_recipe_measures(client, papers, ben):
    make_technique(slug="never-measured", name="Never Measured")
    make_run(requested_by=ben)
    client.force_login(ben)
    page = client.get("/batches?kind=technique&technique=tiling")
    assert "Each run counts: 1 of 5 in flight · 0 of 3600 GPU-seconds used in 24 hours" in text_of(page)
    assert re.findall(r'<option value="([^"]+)"( selected)?>', page.content.decode()) == [
        ("tiling", " selected")
    ]
    assert re.findall(r'value="(\w+)" required checked', page.content.decode()) == ["technique"]


def test_a_refused_request_says_why_and_keeps_what_was_chosen(client, papers, ben):
    client.force_login(ben)
    page = client.post("/batches", {"kind": "technique", "technique": "", "preset": "full", "fresh": "on"})
    assert (page.status_code, Batch.objects.count()) == (400, 0)
    assert "Choose a technique; /techniques lists those there are." in text_of(page)
    assert "<option selected>full</option>" in page.content.decode()
    assert 'name="fresh" checked' in page.content.decode()


@pytest.mark.parametrize(
    "typed",
    [{}, {"kind": "\x00"}, {**ALL, "preset": "huge"}, {**ALL, "kind": "technique", "technique": "\x00"}],
)
def test_nonsense_is_a_400_and_no_batch(client, papers, ben, typed):
    client.force_login(ben)
    assert client.post("/batches", typed).status_code == 400
    assert not Batch.objects.exists()


def test_asking_needs_an_account_a_token_of_the_form_and_patience(papers, ben, client):
    client.force_login(ben)
    assert [client.post("/batches", ALL).status_code for _ in range(11)] == [302] * 10 + [429]
    client.logout()
    assert client.post("/batches", ALL).url == "/account/login/?next=/batches"
    strict = type(client)(enforce_csrf_checks=True)
    strict.force_login(ben)
    before = Batch.objects.count()
    assert strict.post("/batches", ALL).status_code == 403
    assert strict.post("/schedules", {"recipe": "", "preset": "smoke"}).status_code == 403
    assert strict.post(f"/batches/{Batch.objects.first().pk}/cancel").status_code == 403
    assert Batch.objects.count() == before


def test_what_was_left_out_is_shown_with_its_reason(client, ben, settings):
    settings.RUNS_IN_FLIGHT = 0
    make_paper(identifiers=[("arxiv", "2106.09685")])
    client.force_login(ben)
    text = text_of(client.get(client.post("/batches", ALL).url))
    assert "This batch has no run." in text
    assert (
        "Left out These could not be asked for. The others were not held up. flashattention-io The paper arxiv:2205.14135"
        in text
    )
    assert "lora-memory You have 0 runs waiting or running; wait for one, or cancel one." in text
    assert "2 left out" in text_of(client.get("/batches"))


def test_a_batch_polls_while_it_lasts_and_not_after(client, ben):
    run = make_run()
    batch = make_batch(ben, run)
    live = f'hx-get="/batches/{batch.pk}/live" hx-trigger="every 2s"'
    assert live in client.get(f"/batches/{batch.pk}").content.decode()
    assert live in client.get(f"/batches/{batch.pk}/live").content.decode()
    Run.objects.filter(pk=run.pk).update(**NO_BODY)
    for address in (f"/batches/{batch.pk}", f"/batches/{batch.pk}/live"):
        page = client.get(address).content.decode()
        assert ("hx-get" in page, "http-equiv" in page) == (False, False)


def test_a_batch_shows_how_its_runs_ended(client, ben):
    paper = make_paper()
    done = make_run(paper=paper, recipe=LORA, preset="full", **NO_BODY)
    make_measurement(done, claim=make_claim(paper), headline=True, verdict="reproduced")
    failed = make_run(
        status="failed", failure="timeout", message="It ran out of time.", finished=timezone.now()
    )
    batch = make_batch(ben, done, failed)
    BatchMember.objects.create(batch=batch, run=make_run(), joined=True)
    text = text_of(client.get(f"/batches/{batch.pk}"))
    assert "2 of 3 ended · 1 waiting · 1 done · 1 failed" in text
    assert f"#{done.pk} done 2× of 2× claimed reproduced" in text
    assert f"#{failed.pk} failed It ran out of time." in text
    assert "joined queued" in text


def test_who_asked_and_operators_cancel_a_batch_and_others_are_told_why_not(client, ada, ben, operator):
    mine, joined = make_run(), make_run()
    batch = make_batch(ben, mine)
    BatchMember.objects.create(batch=batch, run=joined, joined=True)
    assert (
        client.post(f"/batches/{batch.pk}/cancel").url == f"/account/login/?next=/batches/{batch.pk}/cancel"
    )
    assert client.get(f"/batches/{batch.pk}/cancel").url == f"/batches/{batch.pk}"
    client.force_login(ada)
    refused = client.post(f"/batches/{batch.pk}/cancel")
    assert refused.status_code == 403
    assert "Only who asked for a batch, or an operator, may cancel it." in text_of(refused)
    assert "Cancel the batch" not in text_of(client.get(f"/batches/{batch.pk}"))
    for user in (operator, ben):
        client.force_login(user)
        page = client.get(f"/batches/{batch.pk}")
        assert "Cancel the batch What was joined goes on." in text_of(page)
    page = client.post(f"/batches/{batch.pk}/cancel", follow=True)
    assert "Cancelled: 1 run that waited or ran." in text_of(page)
    assert "Cancel the batch" not in text_of(page)
    assert [Run.objects.get(pk=run.pk).status for run in (mine, joined)] == ["cancelled", "queued"]


@pytest.mark.parametrize("address", ["/batches", "/batches/1", "/batches/1/live"])
def test_thirty_rows_cost_as_many_queries_as_one(client, ben, address):
    batch = make_batch(ben, pk=1)

    def add():
        run = make_run(requested_by=ben, worker=make_worker(), **NO_BODY)
        make_measurement(run, headline=True, claim=make_claim(run.paper))
        make_batch(ben, run)
        BatchMember.objects.create(batch=batch, run=run)

    client.force_login(ben)
    add()
    client.get(address)
    one = queries_of(client, address)
    for _ in range(29):
        add()
    assert queries_of(client, address) == one


def test_a_batch_that_is_not_there_is_named(client):
    assert "There is no batch 7. All of them are listed at /batches." in text_of(client.get("/batches/7"))
    assert client.get("/batches/7/live").status_code == client.get("/batches/" + "9" * 30).status_code == 404


def test_operators_make_and_stop_schedules(client, operator):
    client.force_login(operator)
    made = client.post("/schedules", {"recipe": LORA, "preset": "smoke"}, follow=True)
    assert "From now on it is measured on each new torch" in text_of(made)
    schedule = Schedule.objects.get()
    assert (schedule.recipe, schedule.preset, schedule.made_by, schedule.active) == (
        LORA,
        "smoke",
        operator,
        True,
    )
    again = client.post("/schedules", {"recipe": LORA, "preset": "smoke"}, follow=True)
    assert "There is this very schedule already." in text_of(again)
    stopped = client.post(f"/schedules/{schedule.pk}/stop", follow=True)
    assert "Stopped. What it had asked for goes on." in text_of(stopped)
    assert "No schedule yet." in text_of(stopped)
    assert "It was stopped already." in text_of(client.post(f"/schedules/{schedule.pk}/stop", follow=True))
    assert client.post("/schedules/999/stop").status_code == 404


def test_others_see_schedules_and_touch_none(client, ben, operator):
    schedule = Schedule.objects.create(recipe="", preset="full", made_by=operator)
    client.force_login(ben)
    page = client.get("/batches")
    assert "every recipe, full · made by cy" in text_of(page)
    assert "/schedules" not in page.content.decode()
    assert client.post("/schedules", {"recipe": "", "preset": "smoke"}).status_code == 403
    assert client.post(f"/schedules/{schedule.pk}/stop").status_code == 403
    assert list(Schedule.objects.filter(active=True)) == [schedule]
    client.logout()
    assert client.post("/schedules").url == "/account/login/?next=/schedules"
    assert client.get("/schedules").url == client.get(f"/schedules/{schedule.pk}/stop").url == "/batches"


def test_batches_are_found_from_recipes_runs_and_a_measured_technique(client, papers):
    make_technique(slug="never-measured", name="Never Measured")
    link = "/batches?kind=technique&amp;technique=tiling#ask"
    found = {address: 'href="/batches' in client.get(address).content.decode() for address in (
        "/recipes", "/runs", "/techniques/tiling", "/techniques/never-measured", f"/recipes/{FLASH}",
    )}  # fmt: skip
    assert found == {
        "/recipes": True,
        "/runs": True,
        "/techniques/tiling": True,
        "/techniques/never-measured": False,
        f"/recipes/{FLASH}": True,
    }
    assert link in client.get("/techniques/tiling").content.decode()
