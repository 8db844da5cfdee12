"""Recipes and runs as JSON: what can be re-measured, asking for it, watching it, cancelling it."""

from django.db.models import prefetch_related_objects
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse
from rest_framework import serializers
from rest_framework.decorators import api_view
from rest_framework.response import Response

from explorer import watching
from explorer.api import (
    PageQuery,
    Problem,
    body,
    count_against,
    described,
    in_pages,
    missing,
    page_of,
    query,
    refused,
)
from explorer.api_papers import for_lists
from explorer.permissions import require
from explorer.serializers import LogSerializer, RecipeSerializer, RunDetailSerializer, RunSerializer
from reproduce import bundles, catalogue, demand, journal, lifecycle, pool, waiting
from reproduce.models import Run
from reproduce.recipes.spec import PRESETS

QUOTA_RETRY_S = 60
JOINED = "The same question has this run already; send fresh = true to measure it again."
NO_WORKER = (
    "No worker{} is alive, so this run waits in the queue, and starts as soon as there is one. "
    "Start one with `make up`, or with `python manage.py worker` on a machine that reaches this site's "
    "database and broker."
)


@described("recipes_list", {200: in_pages(RecipeSerializer)}, problems=[400], parameters=[PageQuery])
@api_view(["GET"])
def recipes(request):
    """What can be re-measured."""
    asked = query(request, PageQuery)
    return page_of(request, catalogue.recipes(), RecipeSerializer, asked, papers=catalogue.papers())


@described("recipes_retrieve", {200: RecipeSerializer}, problems=[404])
@api_view(["GET"])
def recipe(request, slug):
    """One recipe: what it measures, its parameters, and what differs from the paper."""
    found = catalogue.recipe(slug)
    if found is None:
        raise missing(f"There is no recipe {slug}.", "GET /api/recipes lists those there are.")
    return Response(RecipeSerializer(found, context={"papers": catalogue.papers()}).data)


class RunQuery(PageQuery):
    recipe = serializers.SlugField(required=False, help_text="The slug of a recipe")
    paper = serializers.SlugField(required=False, help_text="The key of a paper")
    status = serializers.ChoiceField(Run.Status.choices, required=False)


class RunRequest(serializers.Serializer):
    """A run to be queued. A parameter that is not named has the preset's value."""

    recipe = serializers.CharField(max_length=60)
    preset = serializers.ChoiceField([(preset, preset) for preset in PRESETS])
    parameters = serializers.DictField(required=False, default=dict, help_text="By the recipe's own names")
    fresh = serializers.BooleanField(default=False, help_text="Measure again though there is an answer")
    labels = serializers.ListField(
        child=serializers.CharField(max_length=100), max_length=5, default=list,
        help_text="Only a worker that has all of these labels takes it; GET /api/workers names them",
    )  # fmt: skip


@described(
    "runs_list", {200: in_pages(RunSerializer)}, problems=[400], parameters=[RunQuery], methods=["GET"]
)
@described(
    "runs_create",
    {
        201: OpenApiResponse(RunDetailSerializer, "Queued"),
        200: OpenApiResponse(
            RunDetailSerializer, "Joined: the run in flight, or finished, that asks the same"
        ),
    },
    problems=[400, 401, 403, 409, 411, 413, 415],
    request=RunRequest,
    methods=["POST"],
)
@api_view(["GET", "POST"])
def runs(request):
    """GET: runs, newest first. POST: ask for one; the same question's run is joined unless `fresh`."""
    if request.method == "POST":
        require(request.user, "run")
        asked = body(request, RunRequest)
        count_against(request, "run", 30, 3600)
        return _ask(request.user, asked)
    asked = query(request, RunQuery)
    columns = {"recipe": "recipe", "paper": "paper__key", "status": "status"}
    wanted = {column: asked[name] for name, column in columns.items() if name in asked}
    return page_of(request, for_lists(Run.objects.filter(**wanted)), RunSerializer, asked)


def _ask(user, asked):
    wanted = {name: asked[name] for name in ("preset", "fresh", "labels")} | {"typed": asked["parameters"]}
    try:
        run, new = demand.request_run(asked["recipe"], who=user, **wanted)
    except demand.OverQuota as error:
        raise Problem(429, "over_quota", str(error), wait=QUOTA_RETRY_S) from error
    except demand.Refused as error:
        if "" in error.errors:
            raise Problem(409, "conflict", str(error)) from error
        raise refused(error.errors) from error
    return _told(run.pk, "" if new else JOINED, status=201 if new else 200)


@described("runs_retrieve", {200: RunDetailSerializer}, problems=[404])
@api_view(["GET"])
def run(request, run_id):
    """One run: its state, place in the queue, progress and measurements."""
    return _told(run_id)


@described(
    "runs_cancel", {200: RunDetailSerializer}, problems=[401, 403, 404, 409], request=None, methods=["POST"]
)
@api_view(["POST"])
def cancel(request, run_id):
    """Cancel a run: a waiting one at once, a running one as soon as its worker has ended it."""
    found = _found(run_id)
    if not demand.may_cancel(request.user, found):
        raise Problem(403, "not_yours", "Only who asked for a run, or an operator, may cancel it.")
    if not lifecycle.request_cancel(found, who=request.user.get_username()):
        raise Problem(409, "already_ended", f"Run {run_id} has ended already, so there is nothing to cancel.")
    return _told(run_id)


class LogQuery(serializers.Serializer):
    after = serializers.IntegerField(
        min_value=0, max_value=2**31 - 1, default=0, help_text="`next` of the answer before; 0 for all"
    )


@described("runs_log", {200: LogSerializer}, problems=[400, 404], parameters=[LogQuery])
@api_view(["GET"])
def log(request, run_id):
    """What the latest attempt has logged since `after`."""
    after, found = query(request, LogQuery)["after"], _found(run_id)
    text, offset = journal.log_after(found, after)
    told = {"text": text, "next": offset, "attempt": found.attempt, "status": found.status}
    return Response(LogSerializer(told).data)


@described("runs_bundle", {200: OpenApiTypes.OBJECT}, problems=[404])
@api_view(["GET"])
def bundle(request, run_id):
    """The bundle, byte for byte as the recipe wrote it: report, environment, raw samples and log."""
    found = _found(run_id)
    raw = bundles.unpack(found)
    if raw is None:
        raise missing(f"Run {run_id} has no bundle: it has not finished, or it failed before it wrote one.")
    name = f"{found.recipe}-run-{found.pk}.json"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "ETag": f'"{found.bundle_sha256}"'}
    return HttpResponse(raw, content_type="application/json", headers=headers)


def _found(run_id):
    found = Run.objects.select_related("paper", "requested_by", "worker").filter(pk=run_id).first()
    if found is None:
        raise missing(f"There is no run {run_id}.", "GET /api/runs lists runs.")
    return found


def _told(run_id, notice="", status=200):
    """The run as it stands now, with what its reader should know first."""
    found = _found(run_id)
    prefetch_related_objects([found], "measurements__claim", "events")
    told = {
        "notice": " ".join(filter(None, [notice, _no_worker(found)])),
        "place": waiting.place(found),
        "estimate_s": waiting.estimate_s(found),
    }
    return Response(RunDetailSerializer(found, context=told).data, status=status)


def _no_worker(run):
    if run.status != Run.Status.QUEUED or pool.can_serve_run(run):
        return ""
    return NO_WORKER.format(f" with {watching.needs(run)}" if run.device == "cuda" else "")
