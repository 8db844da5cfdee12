"""The moderators' queue in a real browser: keys that are heard outside of fields alone, and several at once."""

from playwright.sync_api import expect

from tests.test_journeys import sign_in

TWO = "".join(
    f"@misc{{x{n}, title = {{{title}}}, author = {{Keyes, Kay}}, year = {{2026}}, keywords = {{memory-optimizers}}}}\n"
    for n, title in enumerate(("An Invented Study of Keys", "Locks That Learn to Open"))
)


def test_keys_select_and_several_are_accepted_after_a_dry_run(stack, page):
    sign_in(page, stack, "admin", stack.admin_password())
    page.goto(f"{stack.url}/submit")
    page.get_by_label("BibTeX", exact=False).first.fill(TWO)
    page.get_by_role("button", name="Submit").click()
    page.goto(f"{stack.url}/moderation?q=Keyes")
    ticks = page.locator("[data-select]")
    for key in ("j", "x", "j", "x"):
        page.keyboard.press(key)
    expect(ticks.nth(0)).to_be_checked()
    expect(ticks.nth(1)).to_be_checked()
    page.keyboard.press("r")
    page.keyboard.type("jax?")
    expect(page.locator("textarea:focus")).to_have_value("jax?")
    expect(ticks.nth(1)).to_be_checked()
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_label("Accept, under the techniques").check()
    page.get_by_text("Techniques", exact=True).last.click()
    page.locator("#bulk").get_by_label("Early Exit and Adaptive Depth").check()
    page.get_by_role("button", name="Show what would happen").click()
    expect(page.get_by_text("To accept 2 of 2 entries")).to_be_visible()
    page.get_by_role("button", name="Accept 2 entries").click()
    expect(page.get_by_role("heading", name="2 of 2 accepted")).to_be_visible()
    page.goto(f"{stack.url}/papers/keyes2026invented")
    page.get_by_role("button", name="Undo this: accepted").click()
    expect(page.get_by_text("Undone: paper keyes2026invented is as it was before.")).to_be_visible()
