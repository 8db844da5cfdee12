"""The list of papers as people use it: typing, dragging over years, going back, and without scripts."""

import re

from playwright.sync_api import expect


def test_typing_finds_beginnings_and_years_can_be_dragged(stack, page):
    page.goto(f"{stack.url}/papers")
    page.locator("#search-q").press_sequentially("quantizat", delay=30)
    expect(page).to_have_url(re.compile(r"q=quantizat%2A$"))
    status = page.get_by_role("status").first
    typed = status.inner_text()
    assert "clear filters" in typed
    bars = page.locator(".years a[data-year='2021']"), page.locator(".years a[data-year='2023']")
    bars[1].scroll_into_view_if_needed()
    start, end = (bar.bounding_box() for bar in bars)
    page.mouse.move(start["x"] + 20, start["y"] + 8)
    page.mouse.down()
    page.mouse.move(end["x"] + 20, end["y"] + 8, steps=6)
    assert page.locator(".years a[data-dragged]").count() == 3
    page.mouse.up()
    expect(page).to_have_url(re.compile(r"q=quantizat%2A&year_from=2021&year_to=2023$"))
    expect(status).not_to_have_text(typed)
    page.go_back()
    expect(page).to_have_url(re.compile(r"q=quantizat%2A$"))
    expect(page.get_by_role("status").first).to_have_text(typed)


def test_a_word_that_was_submitted_is_itself_and_no_beginning(stack, page):
    page.goto(f"{stack.url}/papers")
    page.locator("#search-q").fill("quantizat")
    page.locator("#search-q").press("Enter")
    expect(page).to_have_url(re.compile(r"q=quantizat$"))
    expect(page.get_by_text("No paper matches all of this.")).to_be_visible()
    page.wait_for_timeout(500)  # when what is being typed would have been asked
    expect(page.get_by_text("No paper matches all of this.")).to_be_visible()


def test_filters_without_scripts(stack, browser):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{stack.url}/papers")
    page.get_by_label("Words, names").fill('"language models" author:dettmers')
    page.get_by_label("to", exact=True).fill("2024")
    page.get_by_role("button", name="Apply").click()
    assert "year_to=2024" in page.url
    assert page.locator("ol.papers li").count() >= 1
    context.close()
