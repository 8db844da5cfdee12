"""What a run's page says besides the live parts: attempts, failures, where numbers come from, asking again."""

import re

import pytest
from django.db.models.functions import Now

from explorer.provenance import cost, provenance, rows
from explorer.sparkline import MOST_POINTS, sparkline, sparklines, thinned
from reproduce import lifecycle
from reproduce.models import Run
from tests.desk import text_of
from tests.making import make_paper
from tests.making_runs import make_run, make_worker

POINTS = [{"t": t, "gpu": 0, "memory_mb": 100.0 * t, "power_w": None} for t in range(4)]


def failed_run(**over):
    """A run whose second attempt failed; both left a log."""
    run, worker = make_run(device="cuda", **over), make_worker()
    for number in (1, 2):
        _, lease = lifecycle.claim(worker, "cuda", 1, device_name="Invented GPU", slot=3)
        lifecycle.heartbeat(lease, log=f"of attempt {number}\n", trace=POINTS)
        if number == 1:
            lifecycle.hand_back(lease, who="worker", why="it stops")
    lifecycle.fail(lease, "out_of_memory", "It was too large.", who="worker", gpu_seconds=12.5, energy_j=5000)
    return Run.objects.get(pk=run.pk)


@pytest.mark.django_db
def test_a_failed_run_keeps_its_log_its_trace_and_its_cost(client):
    page = client.get(failed_run().get_absolute_url())
    text = text_of(page)
    assert "Out of memory. It was too large." in text
    assert "of attempt 2" in text and "of attempt 1" not in text
    assert "The GPU meanwhile GPU memory" in text
    assert "GPU-seconds 12.5 Energy 5 000 J Energy per GPU-second 400 J" in text


@pytest.mark.django_db
def test_the_log_of_an_earlier_attempt_is_a_link_away(client):
    run = failed_run()
    assert "of attempt 1" in text_of(client.get(f"/runs/{run.pk}?attempt=1"))
    plain = [
        client.get(f"/runs/{run.pk}/log{query}") for query in ("?attempt=1", "?attempt=2", "", "?attempt=9")
    ]
    assert [page.content.decode() for page in plain] == [f"of attempt {number}\n" for number in (1, 2, 2, 2)]
    assert {page["Content-Type"] for page in plain} == {"text/plain; charset=utf-8"}


@pytest.mark.django_db
def test_a_failed_run_is_asked_for_again_by_whoever_is_signed_in(client, ben, cy):
    make_paper(identifiers=[("arxiv", "2205.14135")])
    client.force_login(ben)
    asked = {"preset": "smoke", "batch": "2"}
    client.post("/recipes/flashattention-io/run", asked)
    run = Run.objects.get()
    lifecycle.request_cancel(run, who="ben")
    client.force_login(cy)
    page = client.get(f"/runs/{run.pk}").content.decode()
    typed = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page))
    answer = client.post("/recipes/flashattention-io/run", typed)
    again = Run.objects.exclude(pk=run.pk).get()
    assert answer.url == f"/runs/{again.pk}"
    assert (again.parameters, again.preset, again.requested_by) == (run.parameters, "smoke", cy)


@pytest.mark.django_db
def test_who_is_not_signed_in_is_asked_to_sign_in_before_a_retry(client):
    run = failed_run()
    page = client.get(run.get_absolute_url())
    assert f"/account/login/?next=/runs/{run.pk}" in page.content.decode()
    assert "Sign in to retry" in text_of(page)


@pytest.mark.django_db
def test_a_waiting_run_says_what_it_waits_for_and_who_could_serve_it(client):
    slot = {"device": "cuda", "gpus": ["GPU-1", "GPU-2"], "memory_gb": 140}
    make_worker(name="big", slots=[slot], labels=["lab"], seen=Now())
    make_worker(name="small", slots=[slot | {"gpus": ["GPU-3"]}], labels=["lab"], seen=Now())
    run = make_run(device="cuda", gpus=2, memory_gb=80, labels=["lab"])
    text = text_of(client.get(run.get_absolute_url()))
    assert "waiting for 2 GPUs of 80 GB on one host of a worker labelled lab · place 1 in the queue" in text
    assert "Could be served by big. All workers" in text
    run = make_run(device="cuda", gpus=4)
    assert "No worker that could serve this run is alive and takes runs." in text_of(
        client.get(run.get_absolute_url())
    )


@pytest.mark.django_db
def test_provenance_holds_what_the_site_knows_and_what_the_bundle_recorded():
    run = failed_run(labels=[])
    run.environment = {
        "zeal": {"a": 1},
        "host": {"cores": 2, "load_average": [1.0, 0.25]},
        "code": {"packages": {"torch": "2.11.0"}},
    }
    (first, known), *groups = provenance(run)
    assert first == "this run"
    assert {name: dict(known)[name] for name in ("attempt", "slot", "device", "outcome", "queue")} == {
        "attempt": "2", "slot": "3", "device": "Invented GPU", "outcome": "out of memory", "queue": "GPU",
    }  # fmt: skip
    assert not any("lease" in name for name, _ in known)
    assert groups == [
        ("code", [("packages · torch", "2.11.0")]),
        ("host", [("cores", "2"), ("load average", "1, 0.25")]),
        ("zeal", [("a", "1")]),
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({}, [("value", "none")]),
        ({"mig": [0, 0], "ecc": None}, [("ecc", "not recorded"), ("mig", "0, 0")]),
        ({"b": {"d": 1}, "OMP_NUM": "2", "c_d": 0}, [("OMP_NUM", "2"), ("c d", "0"), ("b · d", "1")]),
        ({"dirty": False}, [("dirty", "no")]),
        ({"gpus": [{"name": "A"}, {"name": "B"}]}, [("gpus 1 · name", "A"), ("gpus 2 · name", "B")]),
        ({"a": {"b": {"c": 1.5}}}, [("a · b · c", "1.5")]),
        ([[1], "x"], [("1", "1"), ("2", "x")]),
        ("text", [("value", "text")]),
    ],
)
def test_any_recorded_value_can_be_read(value, expected):
    assert list(rows(value)) == expected


@pytest.mark.django_db
@pytest.mark.parametrize("environment", [[], [1, {"a": None}], "odd", {"code": None, "host": []}, {}])
def test_an_odd_environment_breaks_no_page(client, environment):
    run = make_run(status="done", finished=Now(), started=Now(), environment=environment)
    assert client.get(run.get_absolute_url()).status_code == 200


@pytest.mark.django_db
def test_without_gpus_nothing_is_divided_by_their_seconds():
    assert cost(make_run(energy_j=3.0)) == [("GPU-seconds", "0"), ("Energy", "3 J")]


def test_a_sparkline_tells_latest_lowest_and_highest():
    drawn = sparkline(POINTS, "memory_mb")
    assert drawn["said"] == "GPU memory: 300 MB on GPU 0; from 0 to 300 MB within 3.0 s"
    assert drawn["lines"] == [
        {"gpu": 0, "colour": 1, "latest": "300", "points": "3,45.0 81,31.0 159,17.0 237,3.0"}
    ]
    assert [one["title"] for one in sparklines(POINTS)] == ["GPU memory"]


def test_each_gpu_has_a_line_and_a_flat_line_is_drawn():
    points = [{"t": 0, "gpu": gpu, "temperature_c": 40} for gpu in (1, 0)]
    drawn = sparkline(points, "temperature_c")
    assert [(line["gpu"], line["colour"], line["latest"]) for line in drawn["lines"]] == [
        (0, 1, "40"),
        (1, 2, "40"),
    ]
    assert drawn["said"] == "Temperature: 40 °C on GPU 0, 40 °C on GPU 1; from 40 to 40 °C within 0.0 s"


def test_a_long_trace_is_thinned_and_keeps_its_peaks():
    line = [(t, 1000 if t == 777 else t % 10) for t in range(5000)]
    thin = thinned(line)
    assert len(thin) <= MOST_POINTS + 2 and (777, 1000) in thin
    assert thin == sorted(thin)
