"""The pages around contributions: sending, following, deciding; and that they never mix with our own results."""

import json

import pytest
from asgiref.sync import async_to_sync
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import AsyncClient
from django.test.utils import CaptureQueriesContext

from reproduce import contributions, evidence
from reproduce.models import Contribution, Run
from tests.desk import text_of
from tests.making_bundles import DEVICE, SLUG, make_bundle, make_flash, make_metrics
from tests.making_runs import make_run

pytestmark = pytest.mark.django_db
SEND = "/runs/contribute"


@pytest.fixture
def flash(db):
    return make_flash()


def send(client, raw, **typed):
    upload = SimpleUploadedFile("bundle.json", raw, "application/json")
    return client.post(SEND, {"bundle": upload, **typed})


def offered(ben, **over):
    return contributions.offer(make_bundle(**over), who=ben, filename="my.json", note="In a cold room")


def decide(client, sent, action, why=""):
    return client.post(f"/contributions/{sent.pk}", {"action": action, "why": why})


def test_a_bundle_is_sent_and_followed(client, ben, flash):
    client.force_login(ben)
    sent = send(client, make_bundle(), note="In a cold room")
    contribution = Contribution.objects.get()
    assert sent.url == f"/contributions/{contribution.pk}"
    page = text_of(client.get(sent.url))
    for told in ("Thank you.", "waiting", "In a cold room", f"Contributed by ben on {DEVICE}", "bundle.json"):
        assert told in page
    assert "The verdicts are those that it would get." in page
    assert "Accept" not in page
    listed = client.get("/contributions")
    assert list(listed.context["page"]) == [contribution]


def test_the_signed_out_are_asked_to_sign_in_first(client, flash):
    assert "Sign in to send a bundle" in text_of(client.get(SEND))
    assert send(client, make_bundle()).url == f"/account/login/?next={SEND}"
    assert not Contribution.objects.exists()


def test_without_a_csrf_token_nothing_is_stored(client, ben, flash):
    client.handler.enforce_csrf_checks = True
    client.force_login(ben)
    assert send(client, make_bundle()).status_code == 403
    assert not Contribution.objects.exists()


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"{}", "The bundle is refused: device is missing."),
        (b"", "The submitted file is empty."),
        (make_bundle(gpu_seconds=1e9), "gpu_seconds is more than its GPUs had"),
    ],
)
def test_a_refused_file_is_told_at_its_field_and_the_note_is_kept(client, ben, flash, raw, told):
    client.force_login(ben)
    page = send(client, raw, note="In a cold room")
    assert page.status_code == 400
    assert told in text_of(page)
    html = page.content.decode()
    assert ">\nIn a cold room</textarea>" in html
    assert 'aria-invalid="true"' in html
    assert 'id="id_bundle_error"' in html
    assert not Contribution.objects.exists()


def test_a_form_without_a_file_says_so(client, ben, flash):
    client.force_login(ben)
    page = client.post(SEND, {"note": "Forgot it"})
    assert (page.status_code, page.context["form"].errors) == (400, {"bundle": ["This field is required."]})


def test_sent_again_it_leads_to_where_it_stands(client, ben, flash):
    client.force_login(ben)
    send(client, make_bundle())
    page = send(client, make_bundle())
    address = Contribution.objects.get().get_absolute_url()
    assert page.status_code == 400
    assert f'<a href="{address}">See it.</a>' in page.content.decode()


def test_beyond_twenty_an_hour_the_note_is_kept_too(client, ben, flash):
    client.force_login(ben)
    for _ in range(20):
        assert send(client, b"{}").status_code == 400
    page = send(client, b"{}", note="One more")
    assert (page.status_code, int(page["Retry-After"]) > 3000) == (429, True)
    assert "That was 20 bundles within an hour. Send this one in 60 min." in text_of(page)
    assert ">\nOne more</textarea>" in page.content.decode()


def test_until_it_is_accepted_others_get_a_404(client, ben, cy, ada, flash):
    sent = offered(ben)
    address = f"/contributions/{sent.pk}"
    for user in (None, cy):
        client.force_login(user) if user else client.logout()
        assert [client.get(address + rest).status_code for rest in ("", "/bundle.json")] == [404, 404]
        assert decide(client, sent, "accept").status_code == 404
    contributions.accept(sent, who=ada, why="Plausible")
    page = text_of(client.get(address))
    assert "accepted by ada" in page
    assert "In a cold room" not in page
    assert "my.json" not in page
    assert client.get(f"{address}/bundle.json").content == contributions.raw(Contribution.objects.get())
    assert decide(client, sent, "take back", "Mine").status_code == 403
    client.logout()
    assert client.get(address).status_code == 200
    assert decide(client, sent, "take back", "Mine").url == f"/account/login/?next={address}"


def test_a_moderator_accepts_and_takes_back(client, ben, ada, flash):
    sent = offered(ben)
    client.force_login(ada)
    assert "1 contributed bundle waiting" in text_of(client.get("/moderation"))
    assert list(client.get("/contributions").context["page"]) == [sent]
    done = decide(client, sent, "accept", "Plausible")
    run = Run.objects.get()
    assert done.url == f"/contributions/{sent.pk}"
    assert f"Accepted: it is shown as run {run.pk}" in text_of(client.get(done.url))
    run_page = text_of(client.get(f"/runs/{run.pk}"))
    assert f"contributed by ben on {DEVICE}" in run_page
    assert "asked for by" not in run_page
    decide(client, sent, "take back", "Made up")
    assert client.get(f"/runs/{run.pk}").status_code == 404
    page = text_of(client.get(done.url))
    for told in ("taken back", "Made up", "Plausible"):
        assert told in page
    history = client.get("/changes")
    assert text_of(history).count(f"contribution {sent.pk} by ada") == 2
    assert "<summary>Undo</summary>" not in history.content.decode()


def test_a_rejection_without_a_reason_keeps_the_form_open_and_with_one_the_sender_reads_it(
    client, ben, ada, flash
):
    sent = offered(ben)
    client.force_login(ada)
    page = decide(client, sent, "reject", " ")
    assert page.status_code == 409
    assert "Give the reason; the sender reads it." in text_of(page)
    decide(client, sent, "reject", "Locked clocks")
    client.force_login(ben)
    page = text_of(client.get(f"/contributions/{sent.pk}"))
    assert "rejected by ada" in page
    assert "Locked clocks" in page
    assert "Locked clocks" in text_of(client.get("/contributions?show=rejected"))


def test_an_unknown_action_changes_nothing(client, ben, ada, flash):
    sent = offered(ben)
    client.force_login(ada)
    assert decide(client, sent, "delete").status_code == 400
    assert Contribution.objects.get().decision == "pending"


def test_the_list_is_ones_own_but_for_moderators(client, ben, cy, ada, flash):
    sent = offered(ben)
    other = contributions.offer(make_bundle(log="another"), who=cy)
    contributions.accept(other, who=ada)
    client.force_login(cy)
    assert [
        list(client.get(f"/contributions?show={word}").context["page"]) for word in ("pending", "accepted")
    ] == [[], [other]]
    client.force_login(ada)
    tabs = client.get("/contributions").context["tabs"]
    assert tabs == [("pending", "waiting", 1), ("accepted", "accepted", 1), ("rejected", "rejected", 0)]
    assert list(client.get("/contributions?show=nonsense").context["page"]) == [sent]
    client.logout()
    assert client.get("/contributions").url == "/account/login/?next=/contributions"


def test_a_list_costs_the_same_queries_for_three_as_for_one(client, ben, ada, flash):
    client.force_login(ada)
    offered(ben)
    with CaptureQueriesContext(connection) as for_one:
        client.get("/contributions")
    for log in ("two", "three"):
        offered(ben, log=log)
    with CaptureQueriesContext(connection) as for_three:
        assert len(client.get("/contributions").context["page"]) == 3
    assert len(for_three) == len(for_one)


@pytest.fixture
def beside_ours(flash, ben, ada, tmp_path):
    """A shipped run that reproduced its headline, and later a contributed one that did not."""
    (tmp_path / "ours.json").write_bytes(make_bundle(log="ours"))
    ours = evidence.load_shipped(tmp_path / "ours.json")
    late = {"started": "2026-02-01T00:00:00Z", "finished": "2026-02-01T00:01:00Z"}
    theirs = contributions.accept(offered(ben, metrics=make_metrics(1.01), **late), who=ada)
    return ours, theirs


def test_contributed_results_never_enter_headline_facets_or_exports(client, flash, beside_ours):
    ours, theirs = beside_ours
    paper = client.get(f"/api/papers/{flash.key}").json()
    assert (paper["headline"], paper["measured"]) == ("reproduced", ours.measurements.count())
    assert {row["run"] for row in paper["measurements"]} == {ours.pk}
    assert [row["id"] for row in paper["runs"]] == [ours.pk]
    assert [row["id"] for row in paper["contributed"]] == [theirs.pk]
    headline = next(row for row in paper["contributed"][0]["measurements"] if row["headline"])
    assert headline["verdict"] == "not_reproduced"
    for choice, count in {"measured": 1, "reproduced": 1, "not_reproduced": 0}.items():
        assert client.get(f"/api/papers?evidence={choice}").json()["count"] == count
    assert json.loads(client.get("/papers.json").getvalue())[0]["measurements"] == ours.measurements.count()


def test_without_ours_a_contributed_result_is_no_evidence(client, flash, ben, ada):
    contributions.accept(offered(ben), who=ada)
    assert client.get("/api/papers?evidence=measured").json()["count"] == 0
    assert client.get(f"/api/papers/{flash.key}").json()["headline"] is None
    assert client.get("/").context["measured"] == 0


@pytest.mark.parametrize("address", ["/", "/papers/dao2022flash"])
def test_pages_show_ours_first_and_contributed_ones_in_a_section_of_their_own(client, beside_ours, address):
    ours, theirs = beside_ours
    page = client.get(address)
    shown = (
        page.context["headlines"]
        if address == "/"
        else [m for row in page.context["rows"] for m in row.measurements]
    )
    assert {each.run_id for each in shown} == {ours.pk}
    assert {run.pk for run in page.context["runs"]} == {ours.pk}
    assert {each.run_id for each in page.context["contributed"]} == {theirs.pk}
    text = text_of(page)
    marked = f"Run {theirs.pk} , contributed by ben on {DEVICE}"
    assert text.index("Claimed") < text.index("Contributed from elsewhere") < text.index(marked)


def test_the_recipe_lists_contributed_runs_apart(client, beside_ours):
    ours, theirs = beside_ours
    page = client.get(f"/recipes/{SLUG}")
    assert [run.pk for run in page.context["runs"]] == [ours.pk]
    assert [run.pk for run in page.context["contributed"]] == [theirs.pk]
    assert "contributed by ben" in text_of(page)
    assert f'href="{SEND}?recipe={SLUG}"' in page.content.decode()
    assert SEND in client.get("/runs").content.decode()


def test_markup_in_a_bundle_stays_text(client, ben, ada, flash):
    evil = "</text><script>alert(1)</script>"
    axis = {"name": evil, "unit": evil, "log": False}
    line = {"label": evil, "x": [1, 2], "y": [1.0, 2.0]}
    series = [{"name": "evil", "title": evil, "x": axis, "y": axis, "lines": [line]}]
    environment = {"accelerator": {"name": evil}, "code": {"commit": evil, "packages": {"torch": evil}}}
    device = {"kind": "cuda", "name": evil, "count": 1}
    sent = offered(ben, series=series, environment=environment, device=device, log=evil)
    run = contributions.accept(sent, who=ada, why=evil)
    for address in (f"/contributions/{sent.pk}", f"/runs/{run.pk}", "/", f"/papers/{flash.key}", "/changes"):
        assert "<script>alert" not in client.get(address).content.decode()


# Raw samples

CSV = """comparison,arm,round,step,value,unit
papers_shape,standard,1,,2.0,ms
papers_shape,standard,2,,2.5,ms
papers_shape,flash,1,,1.0,ms
papers_shape,flash,2,,1.25,ms
quality,full,1,1,3.0,
quality,full,1,2,4.0,
"""


@pytest.mark.parametrize("address", ["/runs/{}/samples.csv", "/api/runs/{}/samples"])
def test_raw_samples_are_a_csv_that_caches_keep(client, beside_ours, address):
    ours, theirs = beside_ours
    response = client.get(address.format(ours.pk))
    assert response.getvalue().decode() == CSV.replace("\n", "\r\n")
    assert (response["Content-Type"], response["ETag"]) == (
        "text/csv; charset=utf-8",
        f'"{ours.bundle_sha256}"',
    )
    assert response["Cache-Control"] == "public, immutable, max-age=31536000"
    again = client.get(address.format(ours.pk), headers={"If-None-Match": response["ETag"]})
    assert (again.status_code, again.content, again["ETag"]) == (304, b"", response["ETag"])
    assert client.get(address.format(theirs.pk))["Cache-Control"] == "no-cache"


def test_under_asgi_they_are_sent_in_turns(beside_ours):
    response = async_to_sync(AsyncClient().get)(f"/runs/{beside_ours[0].pk}/samples.csv")

    async def whole():
        return b"".join([part async for part in response.streaming_content])

    assert response.is_async
    assert async_to_sync(whole)().decode() == CSV.replace("\n", "\r\n")


def test_many_samples_come_in_many_parts(client, ben, ada, flash):
    many = {"a": {"b": [float(number) for number in range(2500)]}}
    run = contributions.accept(contributions.offer(make_bundle(samples=many), who=ben), who=ada)
    parts = list(client.get(f"/runs/{run.pk}/samples.csv").streaming_content)
    assert len(parts) == 3
    assert b"".join(parts).count(b"\r\n") == 2501


def test_a_name_that_a_spreadsheet_would_run_is_made_text(client, ben, ada, flash):
    run = contributions.accept(
        contributions.offer(make_bundle(samples={"=1+1": {"@b": [-1.0]}}), who=ben), who=ada
    )
    assert client.get(f"/runs/{run.pk}/samples.csv").getvalue().splitlines()[1] == b"'=1+1,'@b,1,,-1.0,"


@pytest.mark.parametrize(
    ("kept", "told"),
    [({}, "it has not finished, or it failed before it wrote its bundle."), (b"garbage", "cannot be read.")],
)
def test_without_a_bundle_that_can_be_read_the_samples_are_a_404(client, flash, kept, told):
    run = make_run(paper=flash)
    if kept:
        Run.objects.filter(pk=run.pk).update(**evidence.pack(kept))
    page = client.get(f"/runs/{run.pk}/samples.csv")
    assert page.status_code == 404
    assert told in text_of(page)
    assert told in client.get(f"/api/runs/{run.pk}/samples").json()["error"]["message"]
    assert client.get("/runs/999999/samples.csv").status_code == 404


def test_the_run_page_offers_the_samples(client, beside_ours):
    assert (
        f'href="/runs/{beside_ours[0].pk}/samples.csv"'
        in client.get(f"/runs/{beside_ours[0].pk}").content.decode()
    )
