"""What must hold of every run after the storm. Each rule yields a sentence for each fault that it finds."""

import gzip
import json
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise

from reproduce import catalogue
from reproduce.models import LogChunk, Run
from tests.chaos.modes import BAD_REPORT, MODES, OUT_OF_MEMORY, RECIPE_ERROR, mode_of, numbers_of, question

STUCK_S = 60
PLATFORM, WORKER_LOST, CANCELLED = ("failed", "platform"), ("failed", "worker_lost"), ("cancelled", "")
MOVES = {
    (None, "queued"), ("queued", "running"), ("queued", "cancelled"), ("running", "running"),
    ("running", "queued"), ("running", "done"), ("running", "failed"), ("running", "cancelled"),
}  # fmt: skip
SOON_S = 0.3  # clock ticks, and the moment between a process's last mark and its death


@dataclass
class Evidence:
    """All that is known after a storm: the rows, the toys' own ledger, and what was done to whom."""

    ledger: dict  # {run: {attempt: [Mark]}}
    asked: list = field(default_factory=list)  # (mode, number)
    unheard: list = field(default_factory=list)
    hit: set = field(default_factory=set)  # (kind, (run, attempt))
    cancels: list = field(default_factory=list)  # runs
    full: list = field(default_factory=list)  # (from, to): when the disk was full
    forsaken: dict = field(default_factory=dict)  # {run: seconds}

    def __post_init__(self):
        runs = Run.objects.filter(origin="pool").order_by("pk")
        self.runs = list(runs.prefetch_related("events", "measurements"))


def lost(evidence):
    yield from (f"run {run.pk} is still {run.status}" for run in evidence.runs if run.status not in Run.FINAL)
    yield from (f"nobody answered who asked for {asked}" for asked in evidence.unheard)
    there = {
        json.dumps([run.parameters[name] for name in ("batch", "heads", "layers")]) for run in evidence.runs
    }
    for mode, number in evidence.asked:
        if json.dumps(list(question(mode, number).values())) not in there:
            yield f"{mode} {number} was asked for, and there is no such run"


def stuck(evidence):
    for pk, seconds in evidence.forsaken.items():
        if seconds > STUCK_S:
            yield f"run {pk} was in nobody's hands for {seconds:.0f} s"


def executed_twice(evidence):
    """More than once to the end without each on record; an attempt twice; two attempts at the same time."""
    recorded = {
        run.pk: {e.attempt for e in run.events.all() if e.status == "running"} for run in evidence.runs
    }
    for pk, pages in evidence.ledger.items():
        for attempt, marks in pages.items():
            said = Counter(mark.what for mark in marks)
            if said["begin"] > 1 or said["end"] > 1:
                yield f"run {pk} attempt {attempt} was executed twice"
            if marks and attempt not in recorded.get(pk, ()):
                yield f"run {pk} attempt {attempt} was executed, and no event says so"
        yield from _overlaps(pk, pages, evidence)


def _overlaps(pk, pages, evidence):
    attempts = sorted(attempt for attempt, marks in pages.items() if marks)
    for earlier, later in pairwise(attempts):
        late_s = pages[earlier][-1].at - pages[later][0].at
        if late_s > SOON_S and ("freeze", (pk, earlier)) not in evidence.hit:
            yield f"run {pk} attempt {earlier} went on for {late_s:.1f} s beside attempt {later}"


def wrong_state(evidence):
    for run in evidence.runs:
        yield from broken_path(run)
        ended, mode = (run.status, run.failure), mode_of(run.parameters)
        if run.status in Run.FINAL and ended not in possible_ends(run, mode, evidence):
            yield f"run {run.pk} ({mode}) ended as {' '.join(ended)}: {run.message}"


def broken_path(run):
    """Where the history of a run is no path of the state machine, or does not lead to its state."""
    before, attempt = None, 0
    for event in run.events.all():
        claimed = before == "queued" and event.status == "running"
        if (before, event.status) not in MOVES or event.attempt != attempt + claimed:
            yield f"run {run.pk} went from {before} ({attempt}) to {event.status} ({event.attempt})"
        before, attempt = event.status, event.attempt
    if (before, attempt) != (run.status, run.attempt):
        yield f"run {run.pk} is {run.status} ({run.attempt}), and its history ends {before} ({attempt})"


def possible_ends(run, mode, evidence):
    """How the run may have ended, all things considered that were done to its last attempt."""
    ends, last = {MODES[mode][0]}, (run.pk, run.attempt)
    ends |= {CANCELLED} if run.pk in evidence.cancels else set()
    ends |= {PLATFORM, OUT_OF_MEMORY} if ("recipe", last) in evidence.hit else set()
    ends |= {PLATFORM} if ("guard", last) in evidence.hit else set()
    ends |= {WORKER_LOST} if run.lost == 3 else set()
    if run.started and any(
        a < run.finished.timestamp() and run.started.timestamp() < b for a, b in evidence.full
    ):
        ends |= {RECIPE_ERROR, BAD_REPORT, PLATFORM}
    return ends


def wrong_metrics(evidence):
    """Measurements and bundle must hold the numbers of this run and of its last attempt; others hold none."""
    for run in evidence.runs:
        measures = [measure.name for measure in catalogue.recipe(run.recipe).measures]
        expected = numbers_of(run.pk, measures) if run.status == "done" else {}
        kept = {found.name: found.value for found in run.measurements.all()}
        attempts = {found.n for found in run.measurements.all()}
        if kept != expected or attempts - {run.attempt}:
            yield f"run {run.pk} is {run.status} and holds {kept} of attempts {attempts}"
        if run.status == "done" and _toy_of(run) != f"{run.pk}-{run.attempt}":
            yield f"run {run.pk} attempt {run.attempt} keeps the bundle of {_toy_of(run)}"


def _toy_of(run):
    return json.loads(gzip.decompress(run.bundle))["environment"]["toy"]


def recorded_twice(evidence):
    """A measurement, an event or a piece of log that is there twice."""
    for run in evidence.runs:
        names = Counter(found.name for found in run.measurements.all())
        steps = Counter((e.attempt, e.status) for e in run.events.all() if "asked to cancel" not in e.why)
        twice = [what for what, count in (names + steps).items() if count > 1 and what[1:] != ("queued",)]
        if twice:
            yield f"run {run.pk} has {twice} more than once"
    yield from _logged_twice()


def _logged_twice():
    end, lines, before = 0, Counter(), None
    for run, attempt, offset, text in LogChunk.objects.order_by("run", "attempt", "offset").values_list(
        "run", "attempt", "offset", "text"
    ):
        if (run, attempt) != before:
            before, end, lines = (run, attempt), 0, Counter()
        lines.update(line for line in text.splitlines() if line.startswith("line "))
        if offset != end or any(count > 1 for count in lines.values()):
            yield f"the log of run {run} attempt {attempt} repeats or leaves out something at byte {offset}"
        end = offset + len(text.encode())


def survived(evidence):
    """Signs of life of a run that had ended."""
    for run in evidence.runs:
        marks = evidence.ledger.get(run.pk, {}).get(run.attempt, [])
        late_s = marks[-1].at - run.finished.timestamp() if marks and run.finished else 0
        if late_s > SOON_S and ("freeze", (run.pk, run.attempt)) not in evidence.hit:
            yield f"run {run.pk} attempt {run.attempt} was {run.status} and lived on for {late_s:.1f} s"


RULES = {
    "lost": lost,
    "stuck over 60 s": stuck,
    "executed twice": executed_twice,
    "wrong state": wrong_state,
    "wrong metrics": wrong_metrics,
    "recorded twice": recorded_twice,
    "alive after its end": survived,
}


def judge(evidence):
    """The faults by rule."""
    return {name: list(rule(evidence)) for name, rule in RULES.items()}


def ended_twice(ledger):
    """Runs that went to their end more than once: allowed where both attempts are on record, and told."""
    ends = [sum(any(m.what == "end" for m in marks) for marks in pages.values()) for pages in ledger.values()]
    return sum(count > 1 for count in ends)
