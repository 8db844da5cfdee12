"""Papers side by side as JSON: the numbers of the page /compare."""

from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.decorators import api_view
from rest_framework.response import Response

from explorer import sidebyside
from explorer.api import described, refused
from explorer.listing import with_evidence
from explorer.serializers import ClaimSerializer, MeasurementSerializer, PaperSerializer
from explorer.views_compare import refusal
from papers.models import Paper

PAPERS = OpenApiParameter(
    "papers",
    required=True,
    description="Two to six papers by key, arXiv id or DOI, with commas between; or the name repeated",
)


class ComparedMeasurementSerializer(MeasurementSerializer):
    repeats = serializers.IntegerField(help_text="How many runs of the same question are pooled in it")
    device_name = serializers.CharField(source="run.device_name")

    class Meta(MeasurementSerializer.Meta):
        fields = [*MeasurementSerializer.Meta.fields, "repeats", "device_name"]


class EvidenceSerializer(serializers.Serializer):
    """A claim and what was measured of it; or, without a claim, a number that none asks for."""

    metric = serializers.CharField()
    paper = serializers.SlugField()
    claim = ClaimSerializer(allow_null=True)
    measurements = ComparedMeasurementSerializer(many=True)


class ComparisonSerializer(serializers.Serializer):
    papers = PaperSerializer(many=True, help_text="In the order asked for")
    evidence = EvidenceSerializer(many=True, help_text="By metric, those that most papers share first")


@described("compare_retrieve", {200: ComparisonSerializer}, problems=[400], parameters=[PAPERS])
@api_view(["GET"])
def compare(request):
    """Claims and measurements of two to six papers, as on the page /compare."""
    choice = sidebyside.choose(request.query_params.getlist("papers"))
    unknown = request.query_params.keys() - {"papers", "format"}
    errors = dict.fromkeys(unknown, "There is no such name here; there is: papers.")
    if fault := refusal(choice):
        errors["papers"] = fault
    if errors:
        raise refused(errors)
    facts = with_evidence(Paper.objects.in_full()).in_bulk([paper.pk for paper in choice.papers])
    papers = [facts[paper.pk] for paper in choice.papers]
    found = [
        {"metric": row.metric, "paper": paper.key, "claim": each.claim, "measurements": each.measurements}
        for row in sidebyside.rows(papers)
        for paper, cell in zip(papers, row.cells, strict=True)
        for each in cell
    ]
    return Response(ComparisonSerializer({"papers": papers, "evidence": found}).data)
