"""Contributions as JSON: sending in a bundle that was measured elsewhere, and seeing what became of it."""

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse
from rest_framework import serializers
from rest_framework.decorators import api_view, parser_classes, permission_classes
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.parsers import MultiPartParser
from rest_framework.permissions import IsAuthenticated
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
from explorer.forms_contribution import read_and_offer
from explorer.forms_desk import LONGEST_NOTE
from explorer.permissions import require
from explorer.serializers_contributions import ContributionDetailSerializer, ContributionSerializer
from explorer.views_contributions import AN_HOUR, PER_S
from explorer.views_samples import NO_BUNDLE, answer
from papers.moderation import may_moderate
from reproduce import contributions
from reproduce.models import Contribution, Run

AS_A_FILE = "Send multipart/form-data with the file as 'bundle', as `curl -F bundle=@bundle.json` does."
THERE = "Nothing was stored; GET {address} shows how it stands."


class ContributionRequest(serializers.Serializer):
    bundle = serializers.FileField(help_text="bundle.json as the recipe wrote it; at most 16 MiB")
    note = serializers.CharField(
        max_length=LONGEST_NOTE, default="", allow_blank=True, help_text="What the moderators should know"
    )


class ContributionQuery(PageQuery):
    decision = serializers.ChoiceField(Contribution.Decision.choices, required=False)


@described(
    "contributions_list",
    {200: in_pages(ContributionSerializer)},
    problems=[400, 401],
    parameters=[ContributionQuery],
    methods=["GET"],
)
@described(
    "contributions_create",
    {201: ContributionDetailSerializer},
    problems=[400, 401, 403, 409, 411, 415],
    request={"multipart/form-data": ContributionRequest},
    methods=["POST"],
)
@api_view(["GET", "POST"])
@permission_classes([IsAuthenticated])
@parser_classes([MultiPartParser])
def contributions_of(request):
    """GET: your own, newest first; moderators see everybody's. POST: send in a bundle, which then waits."""
    if request.method == "POST":
        return _offer(request)
    asked = query(request, ContributionQuery)
    everybodys = may_moderate(request.user)
    found = contributions.visible_to(request.user) if everybodys else contributions.of(request.user)
    wanted = {name: asked[name] for name in ("decision",) if name in asked}
    return page_of(request, found.filter(**wanted), ContributionSerializer, asked)


def _offer(request):
    require(request.user, "submit")
    try:
        sent = body(request, ContributionRequest)
    except UnsupportedMediaType as error:
        raise Problem(415, "unsupported_media_type", str(error.detail), AS_A_FILE) from error
    count_against(request, "contribute", AN_HOUR, PER_S)
    try:
        kept = read_and_offer(sent["bundle"], who=request.user, note=sent["note"])
    except contributions.AlreadyHere as error:
        remedy = THERE.format(address=f"/api{error.address}") if error.address else ""
        raise Problem(409, "already_here", str(error), remedy) from error
    except contributions.Refused as error:
        raise refused({"bundle": str(error)}) from error
    return _told(request.user, kept.pk, status=201)


@described("contributions_retrieve", {200: ContributionDetailSerializer}, problems=[404])
@api_view(["GET"])
def contribution(request, contribution_id):
    """One contribution. Until it is accepted, only its sender and the moderators see it."""
    return _told(request.user, contribution_id)


def _told(user, contribution_id, status=200):
    found = contributions.visible_to(user).filter(pk=contribution_id).first()
    if found is None:
        raise missing(
            "There is no such contribution, or it is not public.", "GET /api/contributions lists yours."
        )
    found.measurements = contributions.judged(found, contributions.opened(found))
    found.history = contributions.history(found)
    return Response(ContributionDetailSerializer(found).data, status=status)


@described(
    "runs_samples",
    {(200, "text/csv"): OpenApiResponse(OpenApiTypes.STR, "comparison,arm,round,step,value,unit")},
    problems=[404],
)
@api_view(["GET"])
def samples(request, run_id):
    """Every raw sample of a run as CSV. Times are in ms a call; where a bundle tells no unit, it is empty."""
    found = Run.objects.filter(pk=run_id).only("pk", "recipe", "origin", "bundle", "bundle_sha256").first()
    if found is None:
        raise missing(f"There is no run {run_id}.", "GET /api/runs lists runs.")
    if not found.bundle_sha256:
        raise missing(NO_BUNDLE.format(pk=run_id))
    return answer(request, found)
