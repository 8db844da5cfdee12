"""Claims that readers propose, as JSON: sending one in, and seeing what became of it."""

from rest_framework import serializers
from rest_framework.decorators import api_view, permission_classes
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response

from explorer.api import PageQuery, body, count_against, described, in_pages, missing, page_of, query, refused
from explorer.forms_desk import LONGEST_NOTE
from explorer.forms_proposal import longest
from explorer.permissions import require
from papers import moderation, proposals
from papers.metrics import METRICS
from papers.models import ClaimProposal, Paper


class ProposalRequest(serializers.Serializer):
    paper = serializers.CharField(max_length=80, help_text="Its key")
    claim = serializers.CharField(
        max_length=60, default="", allow_blank=True, help_text="The slug of the claim to correct; empty: new"
    )
    metric = serializers.ChoiceField(sorted(METRICS), help_text="Kind and unit follow from it")
    value = serializers.FloatField()
    low = serializers.FloatField(allow_null=True, default=None, help_text="The value, if there is no range")
    high = serializers.FloatField(allow_null=True, default=None)
    range_printed = serializers.BooleanField(default=False)
    unit = serializers.CharField(max_length=longest("unit"), default="", allow_blank=True)
    better = serializers.ChoiceField(
        ClaimProposal.Better.choices, default="", allow_blank=True, help_text="Empty: as usual for the metric"
    )
    baseline = serializers.CharField(max_length=longest("baseline"), default="", allow_blank=True)
    setting = serializers.CharField(max_length=longest("setting"), default="", allow_blank=True)
    locator = serializers.CharField(max_length=longest("locator"), help_text='"Table 2, row 3"')
    why = serializers.CharField(max_length=LONGEST_NOTE)
    by_author = serializers.BooleanField(default=False, help_text="Whether you are an author of the paper")


class ProposalSerializer(serializers.ModelSerializer):
    page = serializers.CharField(source="get_absolute_url", help_text="Where you read it on this site")
    paper = serializers.SlugRelatedField("key", read_only=True)
    claim = serializers.SlugRelatedField(
        "slug", read_only=True, allow_null=True, help_text="What it corrects, or what it became"
    )
    is_correction = serializers.BooleanField()

    class Meta:
        model = ClaimProposal
        fields = [
            "id", "page", "paper", "claim", "is_correction", *proposals.FIELDS, "why", "by_author",
            "created", "decision", "decision_reason", "decided",
        ]  # fmt: skip


@described(
    "proposals_list",
    {200: in_pages(ProposalSerializer)},
    problems=[400, 401],
    parameters=[PageQuery],
    methods=["GET"],
)
@described(
    "proposals_create",
    {201: ProposalSerializer},
    problems=[400, 401, 403, 404, 411, 413, 415],
    request=ProposalRequest,
    methods=["POST"],
)
@api_view(["GET", "POST"])
@permission_classes([IsAuthenticated])
def proposals_of(request):
    """GET: your own, newest first. POST: propose a claim, or the correction of one."""
    if request.method == "POST":
        require(request.user, "submit")
        sent = body(request, ProposalRequest)
        count_against(request, "propose", 30, 3600)
        return Response(ProposalSerializer(_proposed(request.user, **sent)).data, status=201)
    found = ClaimProposal.objects.filter(proposed_by=request.user).select_related("paper", "claim")
    return page_of(request, found.order_by("-created", "-pk"), ProposalSerializer, query(request, PageQuery))


def _proposed(user, *, paper, claim, why, by_author, **values):
    found = Paper.objects.filter(key=paper).first()
    if found is None:
        raise missing(f"There is no paper {paper}.", "GET /api/papers finds it by words or identifiers.")
    corrects = found.claims.filter(slug=claim).first() if claim else None
    if claim and corrects is None:
        raise missing(f"{paper} has no claim {claim}.", f"GET /api/papers/{paper} lists its claims.")
    try:
        return proposals.propose(found, values, who=user, why=why, by_author=by_author, corrects=corrects)
    except moderation.Refused as error:
        raise refused({"__all__": str(error)}) from error
