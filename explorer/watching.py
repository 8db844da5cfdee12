"""What everybody may see of a run as it stands: its place in the queue, who runs it, how far it has come."""

import re

from django.utils import timezone

from reproduce import pool, waiting

STEP = re.compile(r"^\[ *\d{1,3}%\] (.+)$", re.MULTILINE)  # as the harness writes progress into the log
LATEST_STEPS = 12


def run_state(run):
    """The context of runs/_live.html. Nothing in it depends on who looks: one drawing serves all."""
    return {
        "run": run,
        "said": said(run),
        "needs": needs(run),
        "place": waiting.place(run),
        "estimate": waiting.estimate_s(run),
        "elapsed": run.started and (timezone.now() - run.started).total_seconds(),
        "able": pool.able_workers(run) if run.status == "queued" else [],
        "steps": finished_steps(run) if run.status == "running" else [],
    }


def said(run):
    """One sentence for whoever listens: it changes when the state does, not with each percent."""
    if run.status == "queued":
        return f"Run {run.pk} is waiting for {needs(run)}."
    if run.status == "running":
        cancelling = ", and is being cancelled" if run.cancel_requested else ""
        return f"Run {run.pk} is running, attempt {run.attempt}{cancelling}."
    return f"Run {run.pk} has ended: {run.get_status_display().lower()}."


def needs(run):
    """What a waiting run waits for, as a phrase."""
    if run.device == "cpu":
        what = "a CPU slot"
    else:
        what = "a GPU" if run.gpus == 1 else f"{run.gpus} GPUs"
        what += f" of {run.memory_gb:g} GB" if run.memory_gb else ""
        what += " on one host" if run.gpus > 1 else ""
    return f"{what} of a worker labelled {' and '.join(run.labels)}" if run.labels else what


def finished_steps(run):
    """The names of the steps before the present one, in order; of many only the latest."""
    chunks = run.log_chunks.filter(attempt=run.attempt, text__contains="%] ").values_list("text", flat=True)
    named = dict.fromkeys(name for text in chunks for name in STEP.findall(text))
    return [name for name in named if name != run.step][-LATEST_STEPS:]
