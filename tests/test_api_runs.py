"""Recipes and runs as JSON: asking, joining, waiting, cancelling, and taking the bundle home."""

import json

import pytest
from django.contrib.auth.models import Group

from reproduce import bundles, lifecycle
from reproduce.models import Run
from tests.making import make_paper
from tests.making_programs import make_program, told
from tests.making_runs import make_measurement, make_run, make_worker

ASK = {"recipe": "flashattention-io", "preset": "smoke"}


@pytest.fixture
def flash(db):
    return make_paper(key="dao2022flash", identifiers=[("arxiv", "2205.14135")])


def test_a_run_is_queued_and_says_where_it_stands(flash, ben):
    make_worker()
    response = make_program(ben).post("/api/runs", ASK)
    assert response.status_code == 201
    run = response.json()
    assert [run[name] for name in ("paper", "preset", "device", "status", "requested_by", "position", "notice")] == [
        "dao2022flash", "smoke", "cpu", "queued", "ben", 1, "",
    ]  # fmt: skip
    assert run["events"][0]["why"] == "asked for"
    assert make_program().get(f"/api/runs/{run['id']}").json() == run


def test_the_same_question_joins_the_run_that_is_there(flash, ben, cy):
    make_worker()
    first = make_program(ben).post("/api/runs", ASK).json()
    response = make_program(cy).post("/api/runs", {**ASK, "parameters": {}})
    assert (response.status_code, response.json()["id"]) == (200, first["id"])
    assert "fresh" in response.json()["notice"]
    assert Run.objects.count() == 1


def test_a_fresh_repeat_is_a_run_of_its_own_once_there_is_a_result(flash, ben):
    program = make_program(ben)
    first = Run.objects.get(pk=program.post("/api/runs", ASK).json()["id"])
    lease = lifecycle.claim(make_worker(), "cpu", 0)[1]
    lifecycle.finish(lease, who="worker", why="measured")
    assert program.post("/api/runs", ASK).json()["id"] == first.pk
    again = program.post("/api/runs", {**ASK, "fresh": True})
    assert (again.status_code, Run.objects.count()) == (201, 2)


@pytest.mark.parametrize(
    ("preset", "kind"),
    [("smoke", "No worker is alive"), ("full", "No worker with a GPU of 100 GB is alive")],
)
def test_without_a_worker_the_run_is_queued_and_says_what_to_do(flash, ben, preset, kind):
    response = make_program(ben).post("/api/runs", {**ASK, "preset": preset})
    assert (response.status_code, response.json()["status"]) == (201, "queued")
    assert response.json()["notice"].startswith(kind)
    assert "manage.py worker" in response.json()["notice"]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, ["recipe", "preset"]),
        ({**ASK, "recipe": "no-such"}, ["recipe"]),
        ({**ASK, "preset": "huge"}, ["preset"]),
        ({**ASK, "parameters": [1, 2]}, ["parameters"]),
        ({**ASK, "parameters": None}, ["parameters"]),
        ({**ASK, "parameters": {"no_such": 1}}, ["no_such"]),
        ({**ASK, "fresh": "perhaps"}, ["fresh"]),
        ({**ASK, "priority": 9}, ["priority"]),
        ({**ASK, "recipe": {"a": 1}}, ["recipe"]),
    ],
)
def test_a_wrong_request_is_told_field_by_field_and_queues_nothing(flash, ben, body, named):
    status, code, fields = told(make_program(ben).post("/api/runs", body))
    assert (status, code, sorted(fields)) == (400, "invalid", sorted(named))
    assert Run.objects.count() == 0


@pytest.mark.parametrize("value", ["many", 10**30, "9" * 5000, -1, None, True, 1.5, [[[]]], {"a": {}}])
def test_a_wrong_value_of_a_parameter_is_told_by_its_name(flash, ben, value):
    recipe = make_program().get("/api/recipes/flashattention-io").json()
    name = next(each["name"] for each in recipe["parameters"] if each["type"] == "int")
    status, code, fields = told(make_program(ben).post("/api/runs", {**ASK, "parameters": {name: value}}))
    assert (status, code, list(fields)) == (400, "invalid", [name])


def test_a_paper_that_is_not_in_the_database_is_a_conflict(db, ben):
    assert told(make_program(ben).post("/api/runs", ASK)) == (409, "conflict", {})


def test_beyond_the_quota_one_is_told_when_to_come_back(flash, ben, settings):
    settings.RUNS_IN_FLIGHT = 0
    response = make_program(ben).post("/api/runs", ASK)
    assert told(response) == (429, "over_quota", {})
    assert response["Retry-After"] == "60"


def test_runs_are_filtered_by_recipe_paper_and_status(client, flash):
    mine, other = make_run(paper=flash), make_run(recipe="lora-memory")
    asked = {
        "recipe=lora-memory": [other],
        "paper=dao2022flash": [mine],
        "status=queued": [other, mine],
        "status=done": [],
    }
    for query, runs in asked.items():
        rows = client.get(f"/api/runs?{query}").json()["results"]
        assert [row["id"] for row in rows] == [run.pk for run in runs]
    assert told(client.get("/api/runs?status=lost"))[0] == 400


def test_one_run_shows_its_measurements_with_their_verdicts(client, flash):
    run = make_run(paper=flash, status="done", finished="2026-01-02T03:04:05Z", progress=1)
    make_measurement(run, verdict="not_comparable", verdict_reason="A smoke run is never scored.")
    (measured,) = client.get(f"/api/runs/{run.pk}").json()["measurements"]
    assert [measured["verdict"], measured["verdict_reason"]] == [
        "not_comparable",
        "A smoke run is never scored.",
    ]


@pytest.mark.parametrize(
    "address", ["/api/runs/9", "/api/runs/9/log", "/api/runs/9/bundle", "/api/runs/" + "9" * 30]
)
def test_a_run_that_is_not_there_is_named(client, db, address):
    response = client.get(address)
    assert told(response) == (404, "not_found", {})
    assert response.json()["error"]["message"] == f"There is no run {address.split('/')[3]}."


def test_the_log_goes_on_where_it_was_left(client, flash):
    run = make_run(paper=flash)
    _, lease = lifecycle.claim(make_worker(), "cpu", 0)
    lifecycle.heartbeat(lease, log="first ü\n")
    first = client.get(f"/api/runs/{run.pk}/log").json()
    assert first == {"text": "first ü\n", "next": 9, "attempt": 1, "status": "running"}
    lifecycle.heartbeat(lease, log="second\n")
    rest = client.get(f"/api/runs/{run.pk}/log?after=9").json()
    assert [rest["text"], rest["next"]] == ["second\n", 16]
    assert told(client.get(f"/api/runs/{run.pk}/log?after=-1")) == (
        400, "invalid", {"after": ["Ensure this value is greater than or equal to 0."]},
    )  # fmt: skip


def test_the_bundle_comes_byte_for_byte(client, flash):
    raw = json.dumps({"schema": 1, "recipe": "ü"}).encode()
    done = make_run(paper=flash, status="done", finished="2026-01-02T03:04:05Z", **bundles.pack(raw))
    response = client.get(f"/api/runs/{done.pk}/bundle")
    assert (response.content, response["Content-Type"]) == (raw, "application/json")
    assert response["Content-Disposition"] == f'attachment; filename="flashattention-io-run-{done.pk}.json"'
    assert told(client.get(f"/api/runs/{make_run().pk}/bundle")) == (404, "not_found", {})


def cancelled_by(user, run):
    return make_program(user).post(f"/api/runs/{run.pk}/cancel")


def test_who_asked_for_a_run_cancels_it(flash, ben):
    run = make_run(paper=flash, requested_by=ben)
    assert cancelled_by(ben, run).json()["status"] == "cancelled"
    assert told(cancelled_by(ben, run)) == (409, "already_ended", {})


def test_operators_cancel_any_run_and_others_none(flash, ada, ben, cy):
    run = make_run(paper=flash, requested_by=ben)
    assert told(cancelled_by(None, run)) == (401, "not_authenticated", {})
    assert told(cancelled_by(cy, run)) == (403, "not_yours", {})
    assert told(cancelled_by(ada, run)) == (403, "not_yours", {})
    cy.groups.add(Group.objects.get_or_create(name="operators")[0])
    assert cancelled_by(cy, run).json()["status"] == "cancelled"


def test_recipes_say_what_they_measure_and_with_which_parameters(client, flash, two_recipes):
    rows = client.get("/api/recipes").json()["results"]
    assert [(row["slug"], row["paper"]) for row in rows] == [
        ("flashattention-io", "dao2022flash"),
        ("lora-memory", None),
    ]
    assert client.get("/api/recipes/flashattention-io").json() == rows[0]
    assert sum(measure["headline"] for measure in rows[0]["measures"]) == 1
    assert told(client.get("/api/recipes/no-such")) == (404, "not_found", {})
