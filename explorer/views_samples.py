"""The raw samples of a run as CSV, written while they are sent."""

import asyncio
import csv

from django.core.handlers.asgi import ASGIRequest
from django.http import Http404, HttpResponseNotModified, StreamingHttpResponse
from django.utils.cache import patch_cache_control
from django.utils.http import parse_etags
from django.views.decorators.http import require_safe

from explorer.tabular import Echo, cell
from reproduce import bundles, samples
from reproduce.models import Run
from reproduce.recipes import bundle

NO_BUNDLE = "Run {pk} has no raw samples: it has not finished, or it failed before it wrote its bundle."
LINES = 1000  # sent at a time
YEAR_S = 365 * 24 * 3600


@require_safe
def samples_csv(request, pk):
    """Every raw sample of a run's bundle, a line each."""
    found = Run.objects.filter(pk=pk).only("pk", "recipe", "origin", "bundle", "bundle_sha256").first()
    if found is None:
        raise Http404(f"There is no run {pk}. All of them are listed at /runs.")
    if not found.bundle_sha256:
        raise Http404(NO_BUNDLE.format(pk=pk))
    return answer(request, found)


def answer(request, run):
    """The CSV, or 304 to who has it already: a bundle never changes, so neither does what is made of it."""
    etag = f'"{run.bundle_sha256}"'
    asked = parse_etags(request.headers.get("If-None-Match", ""))
    fresh = etag in {tag.removeprefix("W/") for tag in asked}
    response = HttpResponseNotModified() if fresh else _csv(request, run)
    response["ETag"] = etag
    if run.origin == Run.Origin.CONTRIBUTED:  # it can be taken back
        patch_cache_control(response, no_cache=True)
    else:
        patch_cache_control(response, public=True, immutable=True, max_age=YEAR_S)
    return response


def _csv(request, run):
    parts = _parts(_rows(run))
    under_asgi = isinstance(getattr(request, "_request", request), ASGIRequest)
    response = StreamingHttpResponse(
        _in_turns(parts) if under_asgi else parts, content_type="text/csv; charset=utf-8"
    )
    response["Content-Disposition"] = f'attachment; filename="{run.recipe}-run-{run.pk}-samples.csv"'
    return response


def _rows(run):
    """What a failed run left behind may be no whole bundle."""
    try:
        report = bundle.read(bundles.unpack(run))
        kept = bundle.samples(report)
    except bundle.BundleError as error:
        raise Http404(f"The bundle of run {run.pk} cannot be read. {error}") from error
    if told := samples.fault(kept):
        raise Http404(f"The samples of run {run.pk} cannot be listed: they {told}.")
    return samples.rows(report, kept)


def _parts(rows):
    """The CSV's text, some lines at a time."""
    writer, lines = csv.writer(Echo()), []
    lines.append(writer.writerow(samples.Row._fields))
    for row in rows:
        lines.append(writer.writerow([cell(v) if isinstance(v, str) else v for v in row]))
        if len(lines) == LINES:
            yield "".join(lines)
            lines.clear()
    yield "".join(lines)


async def _in_turns(parts):
    for part in parts:
        yield part
        await asyncio.sleep(0)  # others wait for this loop too
