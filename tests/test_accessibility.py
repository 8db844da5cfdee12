"""What a browser says of our pages: no violation of accessibility rules, light enough, and nothing that jumps."""

import gzip

import pytest
from axe_playwright_python.sync_playwright import Axe

PAGES = [
    "/",
    "/papers",
    "/papers?q=attention&evidence=claims",
    "/papers?year=soon",
    "/papers/dao2022flashattention",
    "/techniques",
    "/techniques/io-aware-exact-attention",
    "/compare?papers=dao2022flashattention,dao2024flashattention2",
    "/compare",
    "/recipes",
    "/recipes/flashattention-io",
    "/about",
    "/roles",
    "/account/signup/",
]
SHIFT = """() => new Promise((done) => {
  let sum = 0;
  new PerformanceObserver((list) => list.getEntries().forEach((entry) => { sum += entry.value; }))
    .observe({ type: "layout-shift", buffered: true });
  setTimeout(() => done(sum), 400);
})"""


@pytest.fixture(scope="module", params=["light", "dark"])
def looked_at(request, browser):
    """A page at the width of a phone, and one of a desk, in one colour scheme."""
    context = browser.new_context(
        viewport={"width": 390 if request.param == "dark" else 1440, "height": 900},
        color_scheme=request.param,
        bypass_csp=True,  # the checker is injected; the policy itself is tested elsewhere
    )
    page = context.new_page()
    yield page
    page.goto("about:blank")
    context.close()


@pytest.mark.parametrize("address", PAGES)
def test_no_rule_of_accessibility_is_broken(stack, looked_at, address):
    looked_at.goto(f"{stack.url}{address}")
    found = Axe().run(looked_at)
    broken = [
        (rule["id"], rule["help"], [node["target"] for node in rule["nodes"]][:4])
        for rule in found.response["violations"]
    ]
    assert broken == []


@pytest.mark.parametrize("address", ["/papers", "/papers?q=attention", "/"])
def test_a_page_is_light_and_nothing_in_it_jumps(stack, looked_at, address):
    bodies = []
    looked_at.on("response", lambda answer: bodies.append(answer) if answer.ok else None)
    looked_at.goto(f"{stack.url}{address}", wait_until="networkidle")
    assert looked_at.evaluate(SHIFT) < 0.01
    assert sum(len(gzip.compress(answer.body())) for answer in bodies) < 100_000
