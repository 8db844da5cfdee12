"""Submissions as JSON: sending in references that are missing, and seeing what became of them."""

from django.db.models import Count, Prefetch, Q
from rest_framework import serializers
from rest_framework.decorators import api_view, permission_classes
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response

from explorer.api import (
    PageQuery,
    body,
    count_against,
    described,
    in_pages,
    missing,
    page_of,
    query,
    refused,
)
from explorer.permissions import require
from explorer.serializers import SubmissionDetailSerializer, SubmissionSerializer
from papers import intake
from papers.models import Entry, Submission
from papers.moderation import may_moderate


class SubmissionRequest(serializers.Serializer):
    text = serializers.CharField(
        trim_whitespace=False, help_text="BibTeX, RIS, CSL-JSON, DOIs, arXiv ids and links, mixed"
    )
    filename = serializers.CharField(max_length=200, default="", allow_blank=True)
    note = serializers.CharField(
        max_length=5000, default="", allow_blank=True, help_text="What the moderators should know"
    )


@described(
    "submissions_list",
    {200: in_pages(SubmissionSerializer)},
    problems=[400, 401],
    parameters=[PageQuery],
    methods=["GET"],
)
@described(
    "submissions_create",
    {201: SubmissionDetailSerializer},
    problems=[400, 401, 403, 411, 413, 415],
    request=SubmissionRequest,
    methods=["POST"],
)
@api_view(["GET", "POST"])
@permission_classes([IsAuthenticated])
def submissions(request):
    """GET: your own, newest first. POST: send references in; each entry says what was found of it."""
    if request.method == "POST":
        require(request.user, "submit")
        sent = body(request, SubmissionRequest)
        count_against(request, "submit", 60, 3600)
        try:
            submission = intake.submit(who=request.user, **sent)
        except intake.Refused as error:
            raise refused({"text": str(error)}) from error
        return _told(request.user, submission.pk, status=201)
    asked = query(request, PageQuery)
    return page_of(request, _counted().filter(submitted_by=request.user), SubmissionSerializer, asked)


@described("submissions_retrieve", {200: SubmissionDetailSerializer}, problems=[401, 404])
@api_view(["GET"])
@permission_classes([IsAuthenticated])
def submission(request, submission_id):
    """One of your submissions, entry by entry; moderators see everybody's."""
    return _told(request.user, submission_id)


def _told(user, submission_id, status=200):
    visible = _counted() if may_moderate(user) else _counted().filter(submitted_by=user)
    entries = Prefetch("entries", Entry.objects.select_related("paper"))
    found = visible.prefetch_related(entries).filter(pk=submission_id).first()
    if found is None:
        raise missing(f"You have no submission {submission_id}.", "GET /api/submissions lists yours.")
    return Response(SubmissionDetailSerializer(found).data, status=status)


def _counted():
    pending = Count("entries", filter=Q(entries__decision=Entry.Decision.PENDING))
    return Submission.objects.annotate(count=Count("entries"), pending=pending).order_by("-created", "-pk")
