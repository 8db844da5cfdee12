"""Batches as JSON: asking for many runs at once, watching them, cancelling what was queued for them."""

from rest_framework import serializers
from rest_framework.decorators import api_view
from rest_framework.response import Response

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
from explorer.serializers import RunSerializer
from reproduce import batches as many
from reproduce import demand
from reproduce.models import Batch, Run
from reproduce.recipes.spec import PRESETS


class ProgressSerializer(serializers.Serializer):
    queued = serializers.IntegerField()
    running = serializers.IntegerField()
    done = serializers.IntegerField()
    failed = serializers.IntegerField()
    cancelled = serializers.IntegerField()
    ended = serializers.IntegerField(help_text="done, failed and cancelled together")
    total = serializers.IntegerField()
    is_done = serializers.BooleanField(help_text="Nothing of it waits or runs any more")


class LeftOutSerializer(serializers.Serializer):
    recipe = serializers.CharField()
    why = serializers.CharField()


class BatchListSerializer(serializers.ListSerializer):
    def to_representation(self, data):
        rows = list(data)
        self.context["progress"] = many.progress_of_all(rows)
        return super().to_representation(rows)


class BatchSerializer(serializers.ModelSerializer):
    """A batch as lists show it. The context's `progress` holds that of each batch by its id."""

    page = serializers.CharField(source="get_absolute_url", help_text="Where people watch it on this site")
    asked_by = serializers.SlugRelatedField("username", read_only=True, allow_null=True)
    by_schedule = serializers.SerializerMethodField(help_text="Asked for by a schedule of that account")
    cancelled = serializers.DateTimeField(allow_null=True, help_text="When somebody cancelled all of it")
    left_out = LeftOutSerializer(many=True, help_text="What could not be asked for")
    progress = serializers.SerializerMethodField()

    class Meta:
        model = Batch
        list_serializer_class = BatchListSerializer
        fields = [
            "id", "page", "title", "asked_by", "by_schedule", "created", "cancelled", "left_out", "progress",
        ]  # fmt: skip

    def get_by_schedule(self, batch) -> bool:
        return batch.schedule_id is not None

    def get_progress(self, batch) -> ProgressSerializer:
        return ProgressSerializer(self.context["progress"][batch.pk]).data


class MemberSerializer(serializers.Serializer):
    joined = serializers.BooleanField(
        help_text="Somebody had asked the same question: not cancelled with this"
    )
    run = RunSerializer()


class BatchDetailSerializer(BatchSerializer):
    """A batch with its runs."""

    members = MemberSerializer(many=True, source="shown")

    class Meta(BatchSerializer.Meta):
        fields = [*BatchSerializer.Meta.fields, "members"]


class BatchRequest(serializers.Serializer):
    """Runs to be asked for together, each with the preset's own parameters."""

    kind = serializers.ChoiceField(list(many.KINDS.items()))
    preset = serializers.ChoiceField([(preset, preset) for preset in PRESETS])
    technique = serializers.SlugField(required=False, default="", help_text='With the kind "technique"')
    fresh = serializers.BooleanField(default=False, help_text="Measure again what has a result already")


@described(
    "batches_list", {200: in_pages(BatchSerializer)}, problems=[400], parameters=[PageQuery], methods=["GET"]
)
@described(
    "batches_create",
    {201: BatchDetailSerializer},
    problems=[400, 401, 403, 411, 413, 415],
    request=BatchRequest,
    methods=["POST"],
)
@api_view(["GET", "POST"])
def batches(request):
    """GET: batches, newest first. POST: ask for many runs; what cannot be asked for is in `left_out`."""
    if request.method == "POST":
        require(request.user, "run")
        asked = body(request, BatchRequest)
        count_against(request, "batch", 10, 3600)
        return _ask(request.user, **asked)
    found = Batch.objects.select_related("asked_by")
    return page_of(request, found, BatchSerializer, query(request, PageQuery))


def _ask(user, kind, **asked):
    try:
        batch = many.ask(kind, who=user, **asked)
    except demand.Refused as error:
        raise refused(error.errors) from error
    return _told(batch.pk, status=201)


@described("batches_retrieve", {200: BatchDetailSerializer}, problems=[404])
@api_view(["GET"])
def batch(request, batch_id):
    """One batch: how far it is, its runs, and what was left out of it."""
    return _told(batch_id)


@described(
    "batches_cancel",
    {200: BatchDetailSerializer},
    problems=[401, 403, 404, 409],
    request=None,
    methods=["POST"],
)
@api_view(["POST"])
def cancel(request, batch_id):
    """Cancel every run that was queued for a batch; those it joined go on. Twice does no harm."""
    found = _found(batch_id)
    if not many.may_cancel(request.user, found):
        raise Problem(403, "not_yours", "Only who asked for a batch, or an operator, may cancel it.")
    if many.progress(found).is_done:
        raise Problem(409, "already_ended", f"Every run of batch {batch_id} has ended already.")
    many.cancel(found, who=request.user.get_username())
    return _told(batch_id)


def _found(batch_id):
    found = Batch.objects.select_related("asked_by").filter(pk=batch_id).first()
    if found is None:
        raise missing(f"There is no batch {batch_id}.", "GET /api/batches lists batches.")
    return found


def _told(batch_id, status=200):
    """The batch as it stands now, with its runs."""
    found = _found(batch_id)
    joined = dict(found.members.values_list("run", "joined"))
    runs = for_lists(Run.objects.filter(pk__in=joined)).order_by("recipe", "pk")
    found.shown = [{"joined": joined[run.pk], "run": run} for run in runs]
    context = {"progress": {found.pk: many.progress(found)}}
    return Response(BatchDetailSerializer(found, context=context).data, status=status)
