"""A run's page: live while it lasts, its evidence afterwards. Reloading does all that the live parts do."""

import asyncio
import re

from django.db import connection
from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.utils.html import escape
from django.views.decorators.http import require_GET, require_safe

from explorer.charts import draw_series, draw_traces
from explorer.drawing import on_page
from explorer.live import END, Stream, hub
from explorer.provenance import cost, provenance
from explorer.sparkline import sparklines
from explorer.views_runs import run_or_404
from explorer.watching import run_state
from reproduce import demand, execution, journal, pooling
from reproduce.models import Run

PLACE = re.compile(r"(\d{1,5}):(\d{1,10})")
ENOUGH_WATCHERS = "This process has as many watchers as it can serve; the page asks again by itself.\n"
RETRY_S = 30


@require_safe
def run(request, pk):
    """One run and everything known of it; ?attempt=N shows the log of an earlier attempt."""
    found = run_or_404(pk)
    attempts = journal.logged_attempts(found)
    attempt = chosen(request, attempts, found.attempt)
    log, offset = journal.log_after(found, attempt=attempt)
    trace = journal.trace_of(found)
    context = {
        "log": log,
        "log_attempt": attempt,
        "log_offset": offset if attempt == found.attempt else 0,
        "attempts": attempts,
        "measurements": found.measurements.select_related("claim"),
        "events": found.events.all(),
        "may_cancel": not found.is_final and demand.may_cancel(request.user, found),
        "sparklines": [] if found.is_final else sparklines(trace),
        "charts": on_page([draw_series(series) for series in found.series]),
        "traces": on_page(draw_traces(trace)) if found.is_final else [],
        "provenance": provenance(found),
        "cost": cost(found),
        "command": execution.typed(found),
        "repeats": pooling.pool_of(found),
    }
    return render(request, "runs/page.html", run_state(found) | context)


@require_safe
def run_live(request, pk):
    """The part of a run's page that changes, for browsers without its events; at its end the page is due."""
    found = run_or_404(pk)
    context = run_state(found) | {"sparklines": sparklines(journal.trace_of(found))}
    response = render(request, "runs/_now.html", context)
    if found.is_final:
        response["HX-Refresh"] = "true"
    return response


@require_safe
def run_log(request, pk):
    """The log as plain text, of ?attempt=N or the latest. To htmx what came since ?from=ATTEMPT:BYTES."""
    found = run_or_404(pk)
    if not request.htmx:
        attempt = chosen(request, journal.logged_attempts(found), found.attempt)
        text, _ = journal.log_after(found, attempt=attempt)
        return HttpResponse(text, content_type="text/plain; charset=utf-8")
    attempt, offset = place(request.GET.get("from", ""))
    same = attempt == found.attempt
    text, offset = journal.log_after(found, offset if same else 0)
    response = render(request, "runs/_log_place.html", {"run": found, "log_offset": offset, "swap": True})
    response.content = escape(text).encode() + response.content.strip()
    if not same:
        response["HX-Reswap"] = "innerHTML"
    return response


@require_GET
async def run_events(request, pk):
    """What is new of a run, as server-sent events. Last-Event-ID, or ?from=, is what the watcher has."""
    status = await asyncio.to_thread(status_of, pk)
    if status is None:
        raise Http404(f"There is no run {pk}. All of them are listed at /runs.")
    if hub.is_full:
        return HttpResponse(ENOUGH_WATCHERS, status=503, headers={"Retry-After": RETRY_S})
    reached = place(request.headers.get("Last-Event-ID") or request.GET.get("from", ""))
    news = only_the_end() if status in Run.FINAL else Stream(pk, *reached)
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}  # nginx would collect it
    return StreamingHttpResponse(news, content_type="text/event-stream", headers=headers)


async def only_the_end():
    yield END


def status_of(pk):
    try:
        return Run.objects.filter(pk=pk).values_list("status", flat=True).first()
    finally:
        connection.close()  # back to the pool: this thread is anybody's


def place(text):
    """(attempt, bytes) of "2:1024"; what cannot be read is before everything."""
    found = PLACE.fullmatch(text)
    return (int(found[1]), int(found[2])) if found else (-1, 0)


def chosen(request, attempts, latest):
    """The attempt that ?attempt=N names if it left a log, else the latest."""
    named = request.GET.get("attempt", "")
    return next((attempt for attempt in attempts if str(attempt) == named), latest)
