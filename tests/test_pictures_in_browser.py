"""Pictures and the comparison by a real person's clicks: with scripts they come when seen, without by a button."""

import re

from playwright.sync_api import expect

TWO = "/compare?papers=dao2022flashattention,hu2022lora"


def test_choose_from_the_list_and_compare(stack, page):
    page.goto(f"{stack.url}/papers?evidence=measured&sort=measured")
    picks = page.get_by_role("checkbox", name="compare ")
    picks.nth(0).check()
    picks.nth(1).check()
    expect(page).to_have_url(f"{stack.url}/papers?evidence=measured&sort=measured")  # choosing is no search
    expect(picks.nth(0)).to_be_checked()
    page.get_by_role("button", name="Compare chosen").click()
    expect(page).to_have_url(re.compile(r"/compare\?papers=[\w-]+&papers=[\w-]+$"))
    expect(page.get_by_role("columnheader")).to_have_count(2)


def test_a_picture_comes_when_it_is_seen_and_nothing_moves(stack, page):
    page.goto(f"{stack.url}{TWO}")
    picture = page.locator(".chart .picture").first
    expect(picture.get_by_role("button", name="Draw this picture")).to_have_count(1)
    before = page.locator("figure.chart").first.bounding_box()["height"]
    picture.scroll_into_view_if_needed()
    expect(picture.get_by_role("img", name=re.compile("Speed-up"))).to_be_visible()
    assert abs(page.locator("figure.chart").first.bounding_box()["height"] - before) < 1
    page.goto(f"{stack.url}/papers")
    page.goto(f"{stack.url}{TWO}")  # it is kept, and comes with the page
    expect(page.locator(".chart .picture").first.get_by_role("img")).to_have_count(1)


def test_pictures_and_comparison_without_scripts(stack, browser):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{stack.url}/papers/kwon2023efficient")
    page.get_by_role("link", name="Compare with").click()
    page.get_by_role("searchbox").fill("orca")
    page.get_by_role("button", name="Find").click()
    page.get_by_role("checkbox", name=re.compile("^Orca")).check()
    page.get_by_role("button", name="Compare", exact=True).click()
    expect(page.get_by_role("columnheader")).to_have_count(2)
    page.goto(f"{stack.url}/techniques/serving-systems")
    page.get_by_role("button", name="Draw this picture").first.click()
    expect(page.get_by_role("img", name=re.compile("Papers on Serving Systems"))).to_be_visible()
    context.close()


def test_the_comparison_scrolls_and_the_page_does_not(stack, browser):
    context = browser.new_context(viewport={"width": 390, "height": 800})
    page = context.new_page()
    page.goto(f"{stack.url}{TWO}")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    table = page.get_by_role("region", name="Claims and measurements").last
    first = table.get_by_role("rowheader", name="Year")
    place = first.bounding_box()["x"]
    table.evaluate("element => element.scrollLeft = 300")
    assert first.bounding_box()["x"] == place
    context.close()
