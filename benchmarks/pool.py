"""From a click to a running child, no-op runs beside bare Celery tasks, and what an idle pool costs."""

import argparse
import http.client
import sys
import time
import urllib.parse
from contextlib import contextmanager
from pathlib import Path

import throwaway
from throwaway import CHECKOUT, VAR, report

throwaway.begin(("postgres", "valkey"))

import psutil  # noqa: E402
import psycopg  # noqa: E402
from celery import current_app  # noqa: E402
from django.conf import settings  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.test import Client  # noqa: E402

from config import embedded, up  # noqa: E402
from config.children import Child  # noqa: E402
from papers.models import Paper  # noqa: E402
from reproduce import catalogue, doorbell, lifecycle  # noqa: E402
from reproduce.models import Run  # noqa: E402
from tests.chaos import ledger  # noqa: E402
from tests.chaos.modes import RECIPE, question  # noqa: E402
from tests.live import free_port, wait_until  # noqa: E402

HOST, PORT = "127.0.0.1", str(free_port())
IDLERS = [sys.executable, str(CHECKOUT / "benchmarks" / "idlers.py")]
PEOPLE = 8  # the form takes 30 runs an hour of each
CSRF = "x" * 32
SAID_SOMETHING = """
SELECT step NOT IN ('', 'starting') OR finished IS NOT NULL FROM reproduce_run WHERE id = %s
"""
SETTLE_S = 10


@contextmanager
def child(name, *command):
    """One process of the pool, as the supervisor starts it, for a while."""
    started = Child(name, [str(part) for part in command], VAR, stop_limit_s=20)
    started.start()
    try:
        yield started
    finally:
        started.stop()


def worker(*command):
    """The same, once it announced itself and hears doorbells."""

    @contextmanager
    def heard():
        with child("worker", *command) as started:
            wait_until(lambda: current_app.control.ping(timeout=0.5))
            yield started

    return heard()


class Person:
    """Somebody signed in, who presses the button of a recipe's page."""

    def __init__(self, number):
        self.user = User.objects.create_user(f"person{number}")
        client = Client()
        client.force_login(self.user)
        self.cookie = f"sessionid={client.cookies['sessionid'].value}; csrftoken={CSRF}"

    def click(self, parameters):
        """The number of the run that the answer leads to."""
        form = urllib.parse.urlencode(
            {"preset": "smoke", "fresh": "on", "csrfmiddlewaretoken": CSRF, **parameters}
        )
        headers = {"Cookie": self.cookie, "Content-Type": "application/x-www-form-urlencoded"}
        connection = http.client.HTTPConnection(HOST, int(PORT))
        connection.request("POST", f"/recipes/{RECIPE}/run", form, headers)
        answer = connection.getresponse()
        assert answer.status == 302, (answer.status, answer.read()[:500])
        connection.close()
        return int(answer.getheader("Location").rpartition("/")[2])


def clicks(people, count):
    """Click, wait for the first progress that is stored, cancel; [(clicked, run, seen)]."""
    found = []
    with psycopg.connect(embedded.database_url(VAR), autocommit=True) as news:
        news.execute(f"LISTEN {lifecycle.NEWS_CHANNEL}")
        for number in range(count):
            clicked = time.time()
            pk = people[number % len(people)].click(question("quick", number))
            while not news.execute(SAID_SOMETHING, [pk]).fetchone()[0]:
                list(news.notifies(timeout=5, stop_after=1))
            found.append((clicked, Run.objects.get(pk=pk), time.time()))
            lifecycle.request_cancel(found[-1][1], who="benchmark")
            wait_until(nobody_waits)
    return found


def from_click(people, count, what):
    found = clicks(people, count)
    report(f"click to claimed, {what}", [run.started.timestamp() - clicked for clicked, run, _ in found])
    pages = ledger.read(settings.RUN_DIR)
    if begun := [pages[run.pk][1][0].at - clicked for clicked, run, _ in found if run.pk in pages]:
        report(f"click to the child's own code, {what}", begun)
    report(f"click to its first progress stored, {what}", [seen - clicked for clicked, _, seen in found])


def queue(people, count):
    """That many waiting runs, no doorbell yet."""
    recipe = catalogue.recipe(RECIPE)
    Run.objects.bulk_create(
        Run(
            recipe=RECIPE, recipe_version=recipe.version, recipe_digest=recipe.digest, preset="smoke",
            paper=catalogue.paper_of(recipe), device="cpu", time_limit=60, fingerprint=f"queued-{number}",
            requested_by=people[number % len(people)].user,
        )
        for number in range(count)
    )  # fmt: skip


def rate(what, count, start, is_over):
    began = time.perf_counter()
    start()
    while not is_over():
        time.sleep(0.05)
    print(f"{what:60} {count / (time.perf_counter() - began):8.1f} /s   n = {count}")


def nobody_waits():
    return not Run.objects.filter(status__in=["queued", "running"]).exists()


def bare_celery(threads, count):
    """The same broker, the same pool of threads, and tasks that do nothing."""
    last = VAR / "last-task"
    with child("celery", *IDLERS, "celery", threads, count, last):
        wait_until(lambda: current_app.control.ping(timeout=0.5))
        rate(f"bare Celery tasks, {threads} threads", count, lambda: send_nothing(count), last.exists)


def send_nothing(count):
    for _ in range(count):
        current_app.send_task("idlers.nothing", queue="bare")


def idle_cpu(processes, seconds):
    """Share of one core that each uses, with all that it started, while nobody asks for anything."""
    before = {name: cpu(found) for name, found in processes.items()}
    time.sleep(seconds)
    for name, found in processes.items():
        print(f"idle: {name:54} {100 * (cpu(found) - before[name]) / seconds:8.2f} % of a core")


def cpu(found):
    family = [process for one in found for process in [one, *one.children(recursive=True)]]
    return sum(sum(process.cpu_times()[:2]) for process in {p.pid: p for p in family}.values())


def seen_by_people(people, given):
    """A real worker with a real recipe, then one with toys: the difference is what torch costs."""
    beat = [sys.executable, "-m", "celery", "-A", "config", "beat", "--pidfile="]
    beat += ["--schedule", VAR / "beat-schedule"]
    with child("web", *up.web_command(HOST, PORT)) as web, child("beat", *beat) as clock:
        up.wait_for_answer(web, HOST, PORT)
        with worker(sys.executable, CHECKOUT / "manage.py", "worker", "--no-gpu") as real:
            time.sleep(SETTLE_S)
            ours = {"worker": real, "beat": clock, "web": web}
            idle = {name: [psutil.Process(one.process.pid)] for name, one in ours.items()}
            idle |= {engine: embedded.processes(VAR, engine) for engine in embedded.ENGINES}
            idle_cpu(idle, given.idle)
            from_click(people, given.clicks, "torch imported")
        with worker(*IDLERS, "worker", "slow"):
            from_click(people, given.clicks, "toy")
        with worker(*IDLERS, "worker", "noop"):
            queue(people, given.runs)
            rate("no-op runs of one worker, 2 slots", given.runs, lambda: doorbell.ring("cpu"), nobody_waits)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clicks", type=int, default=60)
    parser.add_argument("--runs", type=int, default=100, help="no-op runs")
    parser.add_argument("--tasks", type=int, default=3000, help="bare Celery tasks")
    parser.add_argument("--idle", type=int, default=30, help="seconds")
    given = parser.parse_args()
    Path(settings.STATIC_ROOT).mkdir(exist_ok=True)
    paper = Paper.objects.create(key="benchmark", title="None", title_key="none", year=2024)
    scheme, _, value = catalogue.recipe(RECIPE).paper.partition(":")
    paper.identifiers.create(scheme=scheme, value=value)
    seen_by_people([Person(number) for number in range(PEOPLE)], given)
    bare_celery(2, given.tasks)


if __name__ == "__main__":
    main()
