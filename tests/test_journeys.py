"""The three journeys, by a real person's clicks: a real browser, web server, database, broker and worker."""

import re

import pytest
from playwright.sync_api import expect

from tests.conftest import watch

FIRST_RUN_MS = 240_000  # torch is imported cold, and the machine may be busy
PASSWORD = "journeys-are-long-1"


def sign_up(page, stack, name):
    page.goto(f"{stack.url}/account/signup/")
    page.get_by_label("Email").fill(f"{name}@example.org")
    page.get_by_label("Username").fill(name)
    account, person = page.get_by_text(name, exact=True), page.get_by_label("I am a person")
    _send_sign_up(page)
    expect(account.or_(person)).to_be_visible()
    if person.is_visible():  # a test types faster than people do: what was typed is kept, but the passwords
        person.check()
        _send_sign_up(page)
    expect(account).to_be_visible()


def _send_sign_up(page):
    page.get_by_label("Password", exact=False).first.fill(PASSWORD)
    page.get_by_label("Password", exact=False).last.fill(PASSWORD)
    page.get_by_role("button", name="Sign Up").click()


def sign_in(page, stack, name, password):
    page.goto(f"{stack.url}/account/login/")
    page.get_by_label("Login").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign In").click()
    expect(page.get_by_text(name, exact=True)).to_be_visible()


@pytest.fixture(params=[True, False], ids=["scripts", "without-scripts"])
def scripts(request):
    return request.param


@pytest.fixture
def open_page(browser, scripts):
    """Opens pages of people who know nothing of each other, with scripts or without."""
    contexts, faults = [], []

    def opened():
        contexts.append(browser.new_context(java_script_enabled=scripts))
        page = contexts[-1].new_page()
        watch(page, faults)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert faults == []


def export(page, stack):
    """What the link “BibTeX” of this page gives."""
    address = page.get_by_role("link", name="BibTeX", exact=True).first.get_attribute("href")
    return page.request.get(stack.url + address).text()


def count_of(page):
    return int(re.search(r"([\d,]+) paper", page.get_by_role("status").inner_text())[1].replace(",", ""))


def test_browse_from_the_map_to_a_papers_evidence(stack, page):
    page.goto(stack.url)
    cell = page.get_by_role("link", name=re.compile(r"^\d+ papers, Inference, 2023$"))
    papers = int(cell.inner_text())
    cell.click()
    expect(page).to_have_url(f"{stack.url}/papers?axis=inference&year=2023")
    assert count_of(page) == papers

    page.get_by_role("link", name="clear filters").click()
    page.get_by_role("searchbox").press_sequentially("flashattention io-awareness")
    expect(page.locator(".papers li")).to_have_count(1)
    page.get_by_role("checkbox", name="has claims").check()
    expect(page).to_have_url(f"{stack.url}/papers?q=flashattention+io-awareness%2A&evidence=claims")
    expect(page.locator(".papers li")).to_have_count(1)
    page.get_by_role("link", name="FlashAttention: Fast and Memory-Efficient").click()
    expect(page).to_have_url(f"{stack.url}/papers/dao2022flashattention")
    evidence = page.get_by_role("region", name="Claimed and measured")
    expect(evidence.get_by_role("rowheader", name="Memory-traffic saving")).to_be_visible()
    expect(evidence.get_by_role("cell", name=re.compile(r"9\.16×"))).to_be_visible()

    assert export(page, stack).startswith("@inproceedings{dao2022flashattention,")

    page.go_back()
    expect(page).to_have_url(f"{stack.url}/papers?q=flashattention+io-awareness%2A&evidence=claims")


def test_browse_without_scripts(stack, browser):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{stack.url}/papers")
    everything = count_of(page)
    page.get_by_role("checkbox", name="Budget").check()
    page.get_by_role("button", name="Apply").click()
    assert "axis=budget" in page.url
    assert 0 < count_of(page) < everything
    page.get_by_role("link", name="Next").click()
    assert "page=2" in page.url and "axis=budget" in page.url
    assert export(page, stack).count("\n@") == count_of(page) - 1
    page.locator(".papers li").get_by_role("link").first.click()
    assert export(page, stack).startswith("@")
    context.close()


def test_submit_decide_and_undo(stack, open_page, scripts):
    """The submitter's journey and the moderator's, who meet at the entry."""
    name, title = (
        ("ben", "An Invented Way to Halve It") if scripts else ("ned", "An Imagined Way to Double It")
    )
    page, desk = open_page(), open_page()
    sign_up(page, stack, name)
    page.goto(f"{stack.url}/submit")
    page.get_by_label("BibTeX", exact=False).first.fill(
        f"@misc{{x, title = {{{title}}}, author = {{Ida, {name}}}, year = {{2026}}}}\n@misc{{broken, title = "
    )
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_text("2 references found: 1 new")).to_be_visible()
    expect(page.get_by_text("Waiting for a moderator.")).to_be_visible()
    submission = page.url

    sign_in(desk, stack, "admin", stack.admin_password())
    desk.goto(f"{stack.url}/moderation")
    entry = desk.get_by_role("article", name=title)
    entry.get_by_role("checkbox", name="Early Exit and Adaptive Depth").check()
    entry.get_by_role("button", name="Accept", exact=True).click()
    expect(desk.get_by_text(f"Accepted: “{title}” is in the list.")).to_be_visible()

    page.goto(f"{stack.url}/papers?technique=early-exit&q={title.split()[-2]}")
    page.get_by_role("link", name=title).click()
    published = page.url
    page.goto(submission)
    expect(page.get_by_text("accepted", exact=True).first).to_be_visible()

    desk.goto(f"{stack.url}/changes")
    change = desk.get_by_role("listitem").filter(has_text=title).first
    change.get_by_role("button", name="Undo this").click()
    expect(desk.get_by_text(re.compile("^Undone: paper .* is as it was before"))).to_be_visible()
    assert page.goto(published).status == 404
    page.goto(submission)
    expect(page.get_by_text("Waiting for a moderator.")).to_be_visible()


def test_reproduce_to_metric(stack, page):
    sign_up(page, stack, "rae")
    page.goto(f"{stack.url}/papers/hu2022lora")
    page.get_by_role("link", name="Reproduce").click()
    page.get_by_role("link", name="smoke", exact=True).click()
    page.get_by_role("button", name="Reproduce").click()
    expect(page).to_have_url(re.compile(r"/runs/\d+$"))
    expect(page.locator("#live .status-done")).to_be_visible(timeout=FIRST_RUN_MS)
    evidence = page.get_by_role("region", name="Claimed and measured")
    expect(evidence.get_by_role("row", name=re.compile("Trainable parameters")).first).to_contain_text("×")
    expect(evidence.get_by_text("not comparable").first).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the bundle").click()
    assert '"preset": "smoke"' in download.value.path().read_text()
