"""The addresses under /api/. None ends in a slash; what is not there says so in JSON too."""

from django.urls import path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from explorer import (
    api,
    api_batches,
    api_compare,
    api_contributions,
    api_papers,
    api_proposals,
    api_runs,
    api_submissions,
    api_workers,
)

docs = SpectacularSwaggerSplitView.as_view(
    url_name="api-schema", template_name="api/docs.html", title="The API of Spectrum"
)

urlpatterns = [
    path("", docs),
    path("docs", docs, name="api-docs"),
    path("schema", SpectacularAPIView.as_view(), name="api-schema"),
    path("papers", api_papers.papers, name="api-papers"),
    path("papers/<slug:key>", api_papers.paper, name="api-paper"),
    path("techniques", api_papers.techniques, name="api-techniques"),
    path("claims", api_papers.claims, name="api-claims"),
    path("compare", api_compare.compare, name="api-compare"),
    path("recipes", api_runs.recipes, name="api-recipes"),
    path("recipes/<slug:slug>", api_runs.recipe, name="api-recipe"),
    path("runs", api_runs.runs, name="api-runs"),
    path("runs/<int:run_id>", api_runs.run, name="api-run"),
    path("runs/<int:run_id>/log", api_runs.log, name="api-run-log"),
    path("runs/<int:run_id>/cancel", api_runs.cancel, name="api-run-cancel"),
    path("runs/<int:run_id>/bundle", api_runs.bundle, name="api-run-bundle"),
    path("runs/<int:run_id>/samples", api_contributions.samples, name="api-run-samples"),
    path("contributions", api_contributions.contributions_of, name="api-contributions"),
    path("contributions/<int:contribution_id>", api_contributions.contribution, name="api-contribution"),
    path("workers", api_workers.workers, name="api-workers"),
    path("workers/<int:worker_id>/orders", api_workers.orders, name="api-worker-orders"),
    path("batches", api_batches.batches, name="api-batches"),
    path("batches/<int:batch_id>", api_batches.batch, name="api-batch"),
    path("batches/<int:batch_id>/cancel", api_batches.cancel, name="api-batch-cancel"),
    path("proposals", api_proposals.proposals_of, name="api-proposals"),
    path("submissions", api_submissions.submissions, name="api-submissions"),
    path("submissions/<int:submission_id>", api_submissions.submission, name="api-submission"),
    re_path(r"(?P<rest>.*)", api.no_such_address),
]
