"""The page of the workers and its twin for programs: who is there, and who may tell them what to do."""

import pytest
from django.contrib.auth.models import Group
from django.db.models.functions import Now

from reproduce import lifecycle
from reproduce.models import Worker
from tests.desk import text_of
from tests.making_programs import make_program, told
from tests.making_runs import CPU_SLOT, make_run, make_worker

pytestmark = pytest.mark.django_db
GPU = {
    "device": "cuda",
    "gpus": ["GPU-a", "GPU-b"],
    "name": "Test GPU",
    "memory_gb": 80.0,
    "state": "idle",
    "why": "",
}


@pytest.fixture
def operator(ben):
    ben.groups.add(Group.objects.get_or_create(name="operators")[0])
    return ben


def test_a_worker_shows_its_slots_what_they_do_and_its_labels(client):
    blocked = GPU | {"state": "blocked", "why": "1 process of somebody else on GPU-a"}
    versions = {"torch": "2.13.0", "python": "3.11.2", "driver": "580.1"}
    worker = make_worker(host="box", slots=[GPU, blocked, CPU_SLOT], labels=["quiet-room"], versions=versions)
    run = make_run(device="cuda")
    lifecycle.claim(worker, "cuda", 2, slot=0)
    page = text_of(client.get("/workers"))
    assert f"Slot 0 2 × Test GPU 80 GB each busy run {run.pk} flashattention-io starting" in page
    assert "Slot 1 2 × Test GPU 80 GB each not free 1 process of somebody else on GPU-a" in page
    assert "Slot 2 CPU idle" in page
    assert "torch 2.13.0 Python 3.11.2 Driver 580.1 Labels quiet-room" in page
    assert "Pause" not in page


def test_without_workers_the_page_says_what_to_do(client):
    make_worker(name="gone-1", stopped=Now(), orders="drain")
    make_run()
    page = text_of(client.get("/workers"))
    assert "1 run waiting for a CPU slot. No worker is alive." in page
    assert "gone-1: drained, and stopped" in page


def test_an_operator_pauses_drains_and_resumes_a_worker(client, operator):
    worker = make_worker(name="box-1", slots=[CPU_SLOT])
    client.force_login(operator)
    for orders, said in [
        ("pause", "box-1 takes no new run; what it runs goes on."),
        ("drain", "box-1 takes no new run, and leaves the pool once it is idle."),
        ("serve", "box-1 takes runs again."),
    ]:
        page = client.post(f"/workers/{worker.pk}/orders", {"orders": orders}, follow=True)
        worker.refresh_from_db()
        assert (worker.orders, worker.ordered_by) == (orders, "ben")
        assert said in text_of(page)


def test_nobody_else_tells_a_worker_what_to_do(client, cy):
    worker = make_worker()
    address = f"/workers/{worker.pk}/orders"
    assert client.post(address, {"orders": "drain"}).url == f"/account/login/?next={address}"
    assert client.get(address).url == "/workers"
    client.force_login(cy)
    refused = client.post(address, {"orders": "drain"})
    assert (refused.status_code, "Only operators tell workers what to do." in text_of(refused)) == (403, True)
    assert Worker.objects.get().orders == "serve"


@pytest.mark.parametrize("orders", ["", "dance", "serve\x00"])
def test_an_order_that_does_not_exist_is_not_found(client, operator, orders):
    client.force_login(operator)
    assert client.post(f"/workers/{make_worker().pk}/orders", {"orders": orders}).status_code == 404


def test_programs_read_workers_and_operators_programs_order_them(operator, cy):
    worker = make_worker(name="box-2", slots=[GPU, CPU_SLOT], labels=["quiet-room"])
    (read,) = make_program().get("/api/workers").json()
    assert (read["name"], read["slots"], read["labels"]) == ("box-2", [GPU, CPU_SLOT], ["quiet-room"])
    address = f"/api/workers/{worker.pk}/orders"
    assert told(make_program(cy).post(address, {"orders": "pause"}))[:2] == (403, "not_yours")
    program = make_program(operator)
    answer = program.post(address, {"orders": "pause"}).json()
    assert (answer["orders"], answer["ordered_by"]) == ("pause", "ben")
    assert told(program.post(address, {"orders": "pause"}))[:2] == (409, "already_so")
    assert told(program.post(address, {"orders": "dance"}))[:2] == (400, "invalid")
    assert told(program.post("/api/workers/0/orders", {"orders": "pause"}))[:2] == (404, "not_found")
