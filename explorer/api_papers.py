"""The literature as JSON: papers, techniques, claims."""

from django import forms
from django.db.models import Count, Prefetch, Q
from django.http import HttpResponseRedirect
from django.urls import reverse
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.decorators import api_view
from rest_framework.response import Response

from explorer.addresses import present_key
from explorer.api import PageQuery, checked, described, in_pages, page_of, query, refused
from explorer.listing import with_evidence
from explorer.search import Search
from explorer.serializers import ClaimSerializer, PaperDetailSerializer, PaperSerializer, TechniqueSerializer
from papers.metrics import METRICS
from papers.models import Claim, Paper, Technique
from reproduce import catalogue
from reproduce.models import Measurement, Run

LATEST_RUNS = 50
PAGING = PageQuery().fields.keys()


def _described(name, field):
    """A filter of Search as the schema shows it."""
    fixed = isinstance(field, forms.ChoiceField) and not isinstance(field, forms.ModelChoiceField)
    return OpenApiParameter(
        name,
        many=isinstance(field, forms.MultipleChoiceField | forms.ModelMultipleChoiceField),
        enum=[value for value, _ in field.choices] if fixed else None,
        description=field.help_text or field.label or "",
    )


SEARCH = [_described(name, field) for name, field in Search.base_fields.items() if name not in PAGING]


@described("papers_list", {200: in_pages(PaperSerializer)}, problems=[400], parameters=[*SEARCH, PageQuery])
@api_view(["GET"])
def papers(request):
    """Papers, by the very query string of the page /papers."""
    asked = request.query_params
    search = Search(asked)
    known = [*dict.fromkeys([*search.fields, *PAGING])]
    errors = {
        name: f"There is no such filter; there are: {', '.join(known)}."
        for name in asked.keys() - {*known, "format"}
    }
    if errors or not search.is_valid():
        raise refused(search.errors | errors)
    paging = checked(PageQuery, {name: asked[name] for name in PAGING if asked.get(name)})
    return page_of(request, search.papers(), PaperSerializer, paging)


@described("papers_retrieve", {200: PaperDetailSerializer}, problems=[404])
@api_view(["GET"])
def paper(request, key):
    """One paper with its identifiers, claims, measurements and runs. A former key redirects to it."""
    claims = Prefetch("claims", Claim.objects.select_related("paper"))
    found = with_evidence(Paper.objects.in_full()).prefetch_related("former_keys", claims)
    found = found.filter(key=key).first()
    if found is None:
        return HttpResponseRedirect(reverse("api-paper", args=[present_key(key)]))
    found.recipes = [recipe.slug for recipe in catalogue.recipes_of(found)]
    contributed = Q(origin=Run.Origin.CONTRIBUTED)
    found.latest_runs = for_lists(Run.objects.filter(~contributed, paper=found))[:LATEST_RUNS]
    found.contributed = for_lists(Run.objects.filter(contributed, paper=found))
    found.contributed = found.contributed.prefetch_related("measurements__claim")[:LATEST_RUNS]
    found.measurements = Measurement.objects.filter(run__in=list(found.latest_runs)).select_related("claim")
    return Response(PaperDetailSerializer(found).data)


def for_lists(runs):
    """The runs with what RunSerializer shows of them, and without what it does not."""
    return runs.select_related("paper", "requested_by", "worker").defer(
        *Run.HEAVY, "paper__abstract", "paper__search"
    )


@described("techniques_list", {200: in_pages(TechniqueSerializer)}, problems=[400], parameters=[PageQuery])
@api_view(["GET"])
def techniques(request):
    """The taxonomy in its order, with the number of papers that use each technique."""
    found = Technique.objects.annotate(used=Count("papers")).order_by("position")
    return page_of(request, found, TechniqueSerializer, query(request, PageQuery))


class ClaimQuery(PageQuery):
    paper = serializers.SlugField(required=False, help_text="The key of a paper")
    metric = serializers.ChoiceField(
        [(slug, metric.name) for slug, metric in METRICS.items()], required=False
    )
    verified = serializers.BooleanField(
        required=False, help_text="true: the number was seen in a copy of the paper"
    )


@described("claims_list", {200: in_pages(ClaimSerializer)}, problems=[400], parameters=[ClaimQuery])
@api_view(["GET"])
def claims(request):
    """What papers say of themselves."""
    asked = query(request, ClaimQuery)
    columns = {"paper": "paper__key", "metric": "metric", "verified": "verified"}
    wanted = {column: asked[name] for name, column in columns.items() if name in asked}
    found = Claim.objects.filter(**wanted).select_related("paper").order_by("paper__key", "position", "pk")
    return page_of(request, found, ClaimSerializer, asked)
