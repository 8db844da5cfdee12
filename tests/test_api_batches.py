"""Batches for programs: asking for many runs, following them, cancelling what is theirs."""

import pytest

from reproduce import batches
from reproduce.models import Batch, Run
from tests.making import make_paper
from tests.making_programs import make_program, told
from tests.test_batches import FLASH, LORA, make_operator

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("two_recipes")]
ALL = {"kind": "all", "preset": "smoke"}


@pytest.fixture
def papers(db):
    make_paper(identifiers=[("arxiv", "2205.14135")])
    make_paper(identifiers=[("arxiv", "2106.09685")])


@pytest.fixture
def operator(cy):
    return make_operator(cy)


def test_a_program_asks_for_a_batch_and_follows_it(papers, ben):
    program = make_program(ben)
    answer = program.post("/api/batches", ALL)
    assert answer.status_code == 201
    batch = answer.json()
    assert [(member["run"]["recipe"], member["joined"]) for member in batch["members"]] == [
        (FLASH, False),
        (LORA, False),
    ]
    whole = {
        "queued": 2,
        "running": 0,
        "done": 0,
        "failed": 0,
        "cancelled": 0,
        "ended": 0,
        "total": 2,
        "is_done": False,
    }
    assert (batch["progress"], batch["asked_by"], batch["by_schedule"], batch["left_out"]) == (
        whole,
        "ben",
        False,
        [],
    )
    assert make_program().get(f"/api/batches/{batch['id']}").json() == batch
    [listed] = make_program().get("/api/batches").json()["results"]
    assert listed == {name: value for name, value in batch.items() if name != "members"}


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, ["kind", "preset"]),
        ({**ALL, "kind": "some"}, ["kind"]),
        ({**ALL, "preset": "huge"}, ["preset"]),
        ({**ALL, "kind": "technique"}, ["technique"]),
        ({**ALL, "kind": "technique", "technique": "no such"}, ["technique"]),
        ({**ALL, "fresh": "perhaps"}, ["fresh"]),
        ({**ALL, "labels": ["mine"]}, ["labels"]),
        ({**ALL, "kind": "changed"}, ["kind"]),
    ],
)
def test_a_wrong_batch_is_told_field_by_field_and_asks_for_nothing(papers, ben, body, named):
    status, code, fields = told(make_program(ben).post("/api/batches", body))
    assert (status, code, sorted(fields)) == (400, "invalid", named)
    assert not Batch.objects.exists() and not Run.objects.exists()


def test_a_program_is_counted_with_the_page(papers, ben, client):
    client.force_login(ben)
    for _ in range(10):
        client.post("/batches", ALL)
    assert told(make_program(ben).post("/api/batches", ALL))[:2] == (429, "throttled")


def test_programs_cancel_what_is_theirs(papers, ada, ben, operator):
    first, second = (batches.ask("all", preset=preset, who=ben) for preset in ("smoke", "full"))
    address = f"/api/batches/{first.pk}/cancel"
    assert told(make_program().post(address)) == (401, "not_authenticated", {})
    assert told(make_program(ada).post(address)) == (403, "not_yours", {})
    ended = make_program(ben).post(address).json()
    assert (ended["progress"]["cancelled"], ended["progress"]["is_done"], ended["cancelled"] is None) == (
        2,
        True,
        False,
    )
    assert told(make_program(ben).post(address)) == (409, "already_ended", {})
    assert make_program(operator).post(f"/api/batches/{second.pk}/cancel").status_code == 200


@pytest.mark.parametrize("address", ["/api/batches/9", "/api/batches/" + "9" * 30])
def test_a_batch_that_is_not_there_is_named_to_programs(client, address):
    answer = client.get(address)
    assert told(answer) == (404, "not_found", {})
    assert answer.json()["error"]["message"] == f"There is no batch {address.rsplit('/', 1)[1]}."


def test_a_page_beyond_the_last_is_told(client):
    assert told(client.get("/api/batches?page=" + "9" * 30))[:2] == (400, "invalid")
