"""Server-sent events of a run, by plain sockets against a whole running site: nothing lost, nothing personal."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from django.db import OperationalError
from django.test import AsyncClient

from explorer import live, views_live
from tests.event_stream import events, opened
from tests.feeder import feeding
from tests.making_runs import make_run

LIMIT_S = 60


@pytest.fixture
def feeder(stack):
    with feeding(stack) as fed:
        yield fed


def in_a_loop(coroutine):
    """Its result. Playwright may have a loop in this thread already, so it runs in another."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, asyncio.wait_for(coroutine, LIMIT_S)).result()


def watch(
    stack, run, feed=lambda: None, *, watchers=1, place="", until=lambda event: event.name == "end", **headers
):
    """What each watcher is told until the last event it waits for; `feed` is done once all of them watch."""

    async def one(watching):
        told = []
        async with opened(stack.port, f"/runs/{run}/events?from={place}", **headers) as (status, _, chunks):
            assert status == 200
            async for event in events(chunks):
                told.append(event)
                if event.name == "state":
                    watching.set()
                if until(event):
                    break
            watching.set()
        return told

    async def all_of_them():
        begun = [asyncio.Event() for _ in range(watchers)]
        tasks = [asyncio.create_task(one(event)) for event in begun]
        await asyncio.gather(*(event.wait() for event in begun))
        await asyncio.to_thread(feed)
        return await asyncio.gather(*tasks)

    return in_a_loop(all_of_them())


def logs(told):
    return [json.loads(event.data) for event in told if event.name == "log"]


def states(told):
    return [event.data for event in told if event.name == "state"]


def says(text):
    """Until a log event holds this text."""
    return lambda event: event.name == "log" and text in json.loads(event.data)["text"]


def test_a_watcher_is_told_the_state_the_log_the_traces_and_the_end(stack, feeder):
    run = feeder.queue()

    def feed():
        feeder.claim()
        feeder.say(log="[ 10%] first things\nmemory is free\n", progress=0.1, step="first things")
        feeder.say(trace=[{"t": 0, "gpu": 0, "power_w": 70.5}, {"t": 1, "gpu": 0, "power_w": 640}])
        feeder.say(log="[ 50%] second things\n", progress=0.5, step="second things")
        feeder.finish()

    [told] = watch(stack, run, feed)
    assert "waiting for a GPU" in states(told)[0]
    assert "".join(log["text"] for log in logs(told)) == (
        "[ 10%] first things\nmemory is free\n[ 50%] second things\n"
    )
    assert (
        "Power: 640 W on GPU 0; from 70.5 to 640 W within 1.0 s"
        in [e.data for e in told if e.name == "trace"][-1]
    )
    assert "has ended: done" in states(told)[-1]
    assert [event.name for event in told].count("end") == 1 and told[-1].name == "end"


@pytest.mark.parametrize("how", ["Last_Event_ID", "from"])
def test_whoever_comes_back_gets_exactly_the_bytes_that_are_missing(stack, feeder, how):
    run = feeder.queue()
    feeder.claim()
    feeder.say(log="one é\n")
    feeder.say(log="two\n")
    seen = {"place": "1:7"} if how == "from" else {"Last_Event_ID": "1:7", "place": "1:0"}
    [told] = watch(stack, run, lambda: feeder.say(log="three\n"), until=says("three"), **seen)
    assert "".join(log["text"] for log in logs(told)) == "two\nthree\n"
    assert (logs(told)[0]["attempt"], logs(told)[0]["offset"]) == (1, 7)
    assert told[-1].id == "1:17"


def test_a_new_attempt_begins_the_log_anew(stack, feeder):
    run = feeder.queue()
    feeder.claim()
    feeder.say(log="of the first attempt\n")

    def feed():
        feeder.hand_back()
        feeder.claim()
        feeder.say(log="of the second\n")

    [told] = watch(stack, run, feed, place="1:21", until=says("of the second"))
    second = [log for log in logs(told) if log["attempt"] == 2]
    assert logs(told) == second and second[0]["offset"] == 0
    assert "".join(log["text"] for log in second) == "of the second\n"


@pytest.mark.parametrize("place", ["1:4000000", "7:0", "nonsense", "1:-1"])
def test_a_place_that_cannot_be_is_the_beginning(stack, feeder, place):
    run = feeder.queue()
    feeder.claim()
    feeder.say(log="all of it\n")
    [told] = watch(stack, run, place=place, until=says("all of it"))
    assert logs(told) == [{"attempt": 1, "offset": 0, "text": "all of it\n"}]


def test_thirty_watchers_are_told_the_same(stack, feeder):
    run = feeder.queue()

    def feed():
        feeder.claim()
        for number in range(20):
            feeder.say(log=f"line {number}\n", progress=number / 20)
        feeder.finish()

    told = watch(stack, run, feed, watchers=30)
    texts = {"".join(log["text"] for log in logs(one)) for one in told}
    assert texts == {"".join(f"line {number}\n" for number in range(20))}
    assert {one[-1].raw for one in told} == {b"event: end\ndata: The run has ended."}


def web_threads(stack):
    web = {p.pid: p for p in stack.processes() if "granian" in " ".join(p.cmdline())}
    return sum(psutil.Process(pid).num_threads() for pid in web)


def test_watchers_cost_neither_threads_nor_connections_to_the_database(stack, feeder):
    run, found = feeder.queue(), []

    def count():
        listening = "SELECT count(*) FROM pg_stat_activity WHERE query = 'LISTEN run_news'"
        found.append((web_threads(stack), stack.sql(listening)[0][0]))
        feeder.claim()
        feeder.finish()

    watch(stack, run, count, watchers=20)
    run = feeder.queue()
    watch(stack, run, count, watchers=80)
    (few, listeners_of_few), (many, listeners_of_many) = found
    assert many - few < 40
    assert listeners_of_few <= 4 and listeners_of_many <= 4


def test_an_ended_run_is_answered_with_its_end(stack, feeder):
    run = feeder.queue()
    feeder.claim()
    feeder.say(log="something\n")
    feeder.finish()
    [told] = watch(stack, run)
    assert [event.raw for event in told] == [b"event: end\ndata: The run has ended."]


def test_the_owner_of_a_run_is_told_what_a_stranger_is(stack, feeder):
    owner = stack.sql("SELECT id FROM auth_user WHERE username = 'admin'")[0][0]
    run = feeder.queue(requested_by_id=owner, labels=["a card that nobody has"])
    session = stack.manage(
        "shell", "-c",
        "from django.test import Client; from django.contrib.auth.models import User; c = Client(); "
        "c.force_login(User.objects.get(username='admin')); print(c.cookies['sessionid'].value)",
    ).split()[-1]  # fmt: skip
    until = {"until": lambda event: event.name == "trace"}
    stranger, signed_in = (
        watch(stack, run, **until),
        watch(stack, run, Cookie=f"sessionid={session}", **until),
    )
    assert [event.raw for event in signed_in[0]] == [event.raw for event in stranger[0]]
    [state] = states(signed_in[0])
    assert [word for word in ("csrf", "admin", "<form", "Cancel") if word in state] == []


def test_news_that_nobody_told_of_come_as_well(stack, feeder):
    run = feeder.queue()
    feeder.claim()

    def feed():
        stack.sql("UPDATE reproduce_run SET step = 'a silent step' WHERE id = %s", run)

    [told] = watch(stack, run, feed, until=lambda event: "a silent step" in event.data)
    assert told[-1].name == "state"


def test_watchers_stay_when_the_connection_that_listens_is_lost(stack, feeder):
    run = feeder.queue()
    feeder.claim()

    def feed():
        stack.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'LISTEN run_news'")
        feeder.say(log="still here\n")

    [told] = watch(stack, run, feed, until=says("still here"))
    assert logs(told)[-1]["text"] == "still here\n"


def test_the_stream_is_not_stored_and_not_collected_by_a_proxy(stack, feeder):
    run = feeder.queue()

    async def head():
        async with opened(stack.port, f"/runs/{run}/events") as (_, found, _):
            return found

    found = in_a_loop(head()).splitlines()
    wanted = ["content-type: text/event-stream", "cache-control: no-cache", "x-accel-buffering: no"]
    assert [line for line in wanted if line not in found] == []
    assert [line for line in found if line.startswith("set-cookie")] == []


@pytest.mark.django_db(transaction=True)
def test_only_so_many_watch_one_process(client, monkeypatch):
    run = make_run()
    monkeypatch.setattr(live, "MOST_STREAMS", 0)
    refused = client.get(f"/runs/{run.pk}/events")
    assert (refused.status_code, refused["Retry-After"]) == (503, "30")
    assert refused.content.decode().startswith("This process has as many watchers as it can serve")


def test_while_the_database_is_away_who_comes_is_told_when_to_come_back(monkeypatch):
    def away(run):
        raise OperationalError("the connection is lost")

    monkeypatch.setattr(views_live, "status_of", away)
    answer = in_a_loop(AsyncClient().get("/runs/1/events"))
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")


@pytest.mark.django_db(transaction=True)
def test_there_are_no_events_of_what_is_not_a_run_and_none_to_post(client):
    assert client.get("/runs/999999/events").status_code == 404
    assert client.post(f"/runs/{make_run().pk}/events").status_code == 405
