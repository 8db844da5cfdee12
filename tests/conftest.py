"""What every test may ask for: a real PostgreSQL and Valkey of the session's own, a cast of three, a live stack.

The environment is set before Django reads its settings, so no test can touch the var/ of the person who runs it.
"""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from playwright.sync_api import sync_playwright

from config import embedded
from reproduce.recipes import spec
from tests.live import chromium, running_stack

VAR = Path(tempfile.mkdtemp(prefix="spectrum-test-"))
VAR.chmod(0o755)
os.environ["SPECTRUM_VAR"] = str(VAR)
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin slow down whatever runs beside them
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
for name in ("DATABASE_URL", "BROKER_URL", "SECRET_KEY", "DEBUG", "ALLOWED_HOSTS", "PORT", "HOST", "HTTPS"):
    os.environ.pop(name, None)
for name in ("LOOKUP", "REFRESH_METADATA", "CHECK_LINKS", "WATCH_ARXIV"):  # no test asks other sites
    os.environ.pop(name, None)

SPEED_OVER_SAFETY = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def pytest_configure(config):
    """Read the settings, which also lets pytest-django set Django up."""
    # A folder of our own: pytest closes the one that sessions share to everybody else, and root's servers
    # run as an ordinary user.
    if hasattr(config, "workerinput") or not config.option.basetemp:
        config.option.basetemp = str(VAR / "tmp")
    (VAR / "static").mkdir()
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes():
    """Each test process makes a folder of its own, before it reads its settings: none inherits ours."""
    for name in ("SPECTRUM_VAR", "DJANGO_SETTINGS_MODULE"):
        os.environ.pop(name)


def pytest_unconfigure():
    embedded.stop(VAR)
    shutil.rmtree(VAR, ignore_errors=True)


@pytest.fixture(scope="session")
def django_db_modify_db_settings():
    """pytest-django asks for this before it makes the test database: start the servers."""
    embedded.start(VAR, settings=SPEED_OVER_SAFETY)


def make_user(name, **fields):
    return apps.get_model("auth", "User").objects.create_user(
        name, f"{name}@example.org", f"{name}-password", **fields
    )


@pytest.fixture
def ada(db):
    """A moderator."""
    user = make_user("ada")
    user.groups.add(apps.get_model("auth", "Group").objects.get_or_create(name="moderators")[0])
    return user


@pytest.fixture
def ben(db):
    """A signed-in reader."""
    return make_user("ben")


@pytest.fixture
def cy(db):
    """A stranger to everything that is Ben's."""
    return make_user("cy")


@pytest.fixture
def two_recipes(monkeypatch):
    """The site as if there were two recipes, for what counts or lists them."""
    two = tuple(spec.load(slug) for slug in ("flashattention-io", "lora-memory"))
    monkeypatch.setattr("reproduce.catalogue._shelves", lambda: (two, {}))


@pytest.fixture(scope="session")
def stack(tmp_path_factory):
    """The whole site as `make up` runs it, with a worker in a process of its own: see tests/live.py."""
    var = tmp_path_factory.mktemp("stack")
    with running_stack(settings.BASE_DIR, var, LEASE_S="10") as running:  # so that the lost are found sooner
        yield running


@pytest.fixture(scope="module")
def browser():
    # Playwright keeps an event loop in this thread: Django would refuse its ORM beside one, and other modules theirs.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
    flags += ["--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as playwright:
        chrome = playwright.chromium.launch(executable_path=chromium(), args=flags)
        yield chrome
        chrome.close()


@pytest.fixture
def page(browser):
    """A fresh browser page. The test fails if a script of ours threw, or broke our content security policy."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    opened, faults = context.new_page(), []
    opened.set_default_timeout(15_000)
    watch(opened, faults)
    yield opened
    opened.goto("about:blank")  # closing a page with an open event stream can hang in the browser for good
    context.close()
    assert faults == []


def watch(opened, faults):
    """Note in `faults` what scripts of a page throw, and what our content security policy stops."""
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("console", lambda message: faults.append(message.text) if _is_policy(message) else None)


def _is_policy(message):
    return message.type == "error" and "Content Security Policy" in message.text
