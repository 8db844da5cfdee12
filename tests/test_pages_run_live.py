"""A run as a browser watches it: by events without asking, and by asking where there are no events."""

import re

import pytest
from playwright.sync_api import expect

from tests.feeder import feeding

NO_EVENTS = "delete window.EventSource"


@pytest.fixture
def feeder(stack):
    with feeding(stack) as fed:
        yield fed


def asked(page):
    """The addresses that the page asks for again and again when it is not told."""
    found = []
    page.on("request", lambda r: found.append(r.url) if re.search(r"/runs/\d+/(live|log)", r.url) else None)
    return found


def watched_to_its_end(page, feeder, before_it_grows=lambda: None):
    """Follow a run that is open in the page, from the queue to its end, looking at what the page says."""
    log, said = page.locator("#log"), page.locator("#said")
    expect(page.locator("#live .status-queued")).to_be_visible()
    expect(said).to_have_text(re.compile(r"^Run \d+ is waiting for a GPU\.$"))
    feeder.claim()
    expect(page.locator("#live .status-running")).to_be_visible()
    expect(said).to_have_text(re.compile(r"^Run \d+ is running, attempt 1\.$"))
    feeder.say(log="[ 10%] first things\n<b>not bold</b>\n", progress=0.1, step="first things")
    expect(log).to_have_text("[ 10%] first things\n<b>not bold</b>\n")
    before_it_grows()
    feeder.say(log="[ 60%] second things\n", progress=0.6, step="second things")
    feeder.say(trace=[{"t": 0, "gpu": 0, "power_w": 70.5}, {"t": 1, "gpu": 0, "power_w": 640}])
    expect(log).to_have_text("[ 10%] first things\n<b>not bold</b>\n[ 60%] second things\n")
    expect(page.get_by_role("list", name="Steps").get_by_role("listitem")).to_have_text(
        ["first things", "second things"]
    )
    expect(page.get_by_role("progressbar")).to_have_attribute("value", "0.600")
    expect(page.get_by_role("img", name="Power: 640 W on GPU 0")).to_be_visible()
    feeder.fail()
    expect(page.locator("#live .status-failed")).to_be_visible()
    expect(page.get_by_text("It was told to fail.").first).to_be_visible()
    expect(page.locator("pre.log")).to_have_text(
        "[ 10%] first things\n<b>not bold</b>\n[ 60%] second things\n"
    )
    expect(page.get_by_role("heading", name="The GPU meanwhile")).to_be_visible()


def test_a_run_is_watched_to_its_end_without_asking(stack, page, feeder):
    run = feeder.queue()
    polls = asked(page)
    with page.expect_response(re.compile(rf"/runs/{run}/events")):
        page.goto(f"{stack.url}/runs/{run}")
    watched_to_its_end(page, feeder, before_it_grows=polls.clear)
    assert polls == []


def test_without_events_the_page_asks_and_sees_the_same(stack, page, feeder):
    page.add_init_script(NO_EVENTS)
    run = feeder.queue()
    polls = asked(page)
    page.goto(f"{stack.url}/runs/{run}")
    watched_to_its_end(page, feeder)
    assert {re.search(r"live|log", url)[0] for url in polls} == {"live", "log"}


def test_when_events_fail_for_good_the_page_asks_from_where_the_log_ends(stack, page, feeder):
    run = feeder.queue()
    feeder.claim()
    feeder.say(log="one\n")
    page.goto(f"{stack.url}/runs/{run}")
    feeder.say(log="two\n")
    expect(page.locator("#log")).to_have_text("one\ntwo\n")
    page.route("**/events*", lambda route: route.fulfill(status=503, body="full"))
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # as after a look at another tab
    feeder.say(log="three\n")
    expect(page.locator("#log")).to_have_text("one\ntwo\nthree\n")


def test_a_reader_who_scrolled_up_stays_there_and_a_follower_follows(stack, page, feeder):
    run = feeder.queue()
    feeder.claim()
    feeder.say(log="".join(f"line {number}\n" for number in range(200)))
    page.goto(f"{stack.url}/runs/{run}")
    log = page.locator("#log")
    expect(log).to_contain_text("line 199")
    at_end = "log => log.scrollHeight - log.scrollTop - log.clientHeight < 2"
    assert log.evaluate(at_end)
    feeder.say(log="line 200\n")
    expect(log).to_contain_text("line 200")
    assert log.evaluate(at_end)
    log.evaluate("log => { log.scrollTop = 100 }")
    feeder.say(log="line 201\n")
    expect(log).to_contain_text("line 201")
    assert log.evaluate("log => log.scrollTop") == 100


def test_a_new_attempt_clears_the_log_and_the_old_one_stays_within_reach(stack, page, feeder):
    run = feeder.queue()
    feeder.claim()
    feeder.say(log="of the first\n")
    page.goto(f"{stack.url}/runs/{run}")
    expect(page.locator("#log")).to_have_text("of the first\n")
    feeder.hand_back()
    feeder.claim()
    feeder.say(log="of the second\n")
    expect(page.locator("#log")).to_have_text("of the second\n")
    page.reload()
    page.get_by_role("link", name="Attempt 1").click()
    expect(page.get_by_role("log")).to_have_text("of the first\n")
    page.get_by_role("link", name="Plain text").click()
    expect(page.locator("body")).to_have_text("of the first")
