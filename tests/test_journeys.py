"""The three journeys, by a real person's clicks: a real browser, web server, database, broker and worker."""

import re

from playwright.sync_api import expect

FIRST_RUN_MS = 240_000  # torch is imported cold, and the machine may be busy
PASSWORD = "journeys-are-long-1"


def sign_up(page, stack, name):
    page.goto(f"{stack.url}/account/signup/")
    page.get_by_label("Email").fill(f"{name}@example.org")
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password", exact=False).first.fill(PASSWORD)
    page.get_by_label("Password", exact=False).last.fill(PASSWORD)
    page.get_by_role("button", name="Sign Up").click()
    expect(page.get_by_text(name, exact=True)).to_be_visible()


def sign_in(page, stack, name, password):
    page.goto(f"{stack.url}/account/login/")
    page.get_by_label("Login").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign In").click()
    expect(page.get_by_text(name, exact=True)).to_be_visible()


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
    context.close()


def test_submit_to_publish(stack, page, browser):
    sign_up(page, stack, "ben")
    page.goto(f"{stack.url}/submit")
    page.get_by_label("BibTeX", exact=False).first.fill(
        "@misc{x, title = {An Invented Way to Halve Everything}, author = {Invented, Ida}, year = {2026}}"
    )
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_text("1 reference found: 1 new")).to_be_visible()
    submission = page.url

    desk = browser.new_context().new_page()
    sign_in(desk, stack, "admin", stack.admin_password())
    desk.goto(f"{stack.url}/moderation")
    expect(desk.get_by_text("An Invented Way to Halve Everything").first).to_be_visible()
    desk.get_by_role("checkbox", name="Early Exit and Adaptive Depth").check()
    desk.get_by_role("button", name="Accept", exact=True).click()
    expect(desk.get_by_role("link", name="An Invented Way to Halve Everything").first).to_be_visible()
    desk.context.close()

    page.goto(f"{stack.url}/papers?technique=early-exit&q=halve")
    page.get_by_role("link", name="An Invented Way to Halve Everything").click()
    expect(page).to_have_url(f"{stack.url}/papers/invented2026invented")
    page.goto(submission)
    expect(page.get_by_text("accepted").first).to_be_visible()


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
