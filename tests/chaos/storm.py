"""The storm itself: people ask, mischief is done, somebody watches; then quiet, and judgement."""

import logging
import random
import statistics
import time
from contextlib import suppress
from dataclasses import dataclass

from celery import current_app
from django.conf import settings
from django.contrib.auth.models import User
from kombu.exceptions import OperationalError

from explorer import tokens
from reproduce.models import Run
from tests.chaos import judging, ledger
from tests.chaos.asking import Askers, persistently
from tests.chaos.mischief import KILLS, WEIGHTS, Mischief, processes_of_runs, resume_all
from tests.chaos.modes import draw
from tests.chaos.up import SKEWS_S
from tests.chaos.watching import Watcher

QUIET_S = 200  # a run may lose two workers more before it is final
GONE_S = 15
HEARD_S = 120


@dataclass
class Told:
    """What came of it."""

    faults: dict
    done: dict  # how often each deed was done
    facts: dict

    def table(self, given):
        rows = [("broker", given.broker), ("seed", given.seed), *self.facts.items()]
        rows += [("killed", ", ".join(f"{self.done[kind]} {kind}" for kind in KILLS))]
        rows += [("besides", ", ".join(f"{self.done[kind]} {kind}" for kind in WEIGHTS if kind not in KILLS))]
        rows += [(f"**{name}**", f"**{len(found)}**") for name, found in self.faults.items()]
        lines = ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]
        return "\n".join(lines + [f"- {name}: {one}" for name, found in self.faults.items() for one in found])


logging.getLogger("psycopg.pool").setLevel(logging.ERROR)  # of course connections break


def weather(given, stack, broker, may_fill):
    wait_until(all_hear, HEARD_S)
    began, chance = time.monotonic(), random.Random(given.seed)
    askers, watcher = Askers(stack, draw(chance, given.runs)), Watcher(stack.var)
    mischief = Mischief(stack, broker, chance, operator(), given.pause, deeds(given, chance), may_fill)
    for thread in (watcher, askers, mischief):
        thread.start()
    askers.join(60 * given.minutes)
    if given.short:
        mischief.join(60 * given.minutes)
    mischief.enough.set()
    mischief.join()
    persistently(resume_all)
    wait_until(lambda: not persistently(Run.objects.exclude(status__in=Run.FINAL).count), QUIET_S)
    watcher.enough.set()
    left = what_is_left()
    evidence = judging.Evidence(
        ledger.read(settings.RUN_DIR), askers.asked, askers.unheard, mischief.hit, mischief.cancels,
        mischief.full, watcher.longest,
    )  # fmt: skip
    facts = told_besides(evidence, time.monotonic() - began, may_fill)
    return Told(judging.judge(evidence) | left, mischief.done, facts)


def all_hear():
    """Whether every worker answers to a broadcast, as the doorbell is one."""
    with suppress(OperationalError, OSError):
        return len(current_app.control.ping(timeout=1)) == len(SKEWS_S)
    return False


def operator():
    return tokens.issue(User.objects.get(username="admin"), "chaos")


def deeds(given, chance):
    """Each once, in any order, but what needs a long lease to pass; None for at random."""
    if not given.short:
        return None
    once = [deed for deed in WEIGHTS if deed != "freeze"]
    return chance.sample(once, len(once))


def what_is_left():
    """Processes and folders of runs, now that all of them have ended."""
    wait_until(lambda: not orphans() and not folders(), GONE_S)
    return {"orphans": orphans(), "folders left": folders()}


def orphans():
    return [f"process {process.pid} of run {name}" for process, name in processes_of_runs(settings.SITE_NAME)]


def folders():
    return [folder.name for folder in settings.RUN_DIR.glob("*-*")]


def told_besides(evidence, seconds, may_fill):
    """What is no fault and good to know."""
    runs = evidence.runs
    undisturbed = [run for run in runs if run.message.startswith("Cancelled;") and not run.lost]
    waits = [run.finished - run.cancel_requested for run in undisturbed]
    return {
        "runs": len(runs),
        "ended": ", ".join(f"{sum(run.status == status for run in runs)} {status}" for status in Run.FINAL),
        "executed again after a loss": sum(run.lost > 0 for run in runs),
        "to the end twice, both on record": judging.ended_twice(evidence.ledger),
        "longest beside a free slot or with its lease over": f"{max(evidence.forsaken.values(), default=0):.0f} s",
        "cancel of a running run until every process was gone, median and longest": timing(waits),
        "disk": "a small one, filled" if may_fill else "RLIMIT_FSIZE alone: no right to mount a small one",
        "clocks": "workers 90 s behind, right, 90 s ahead, by patching",
        "minutes": f"{seconds / 60:.1f}",
    }


def timing(waits):
    seconds = [wait.total_seconds() for wait in waits]
    return f"{statistics.median(seconds):.1f} s, {max(seconds):.1f} s" if seconds else "none"


def wait_until(condition, limit_s):
    end = time.monotonic() + limit_s
    while not condition() and time.monotonic() < end:
        time.sleep(0.3)
