"""Every address of the site, a subject a paragraph; the JSON twins are in urls_api.py."""

from django.contrib.sitemaps import views as sitemap_views
from django.urls import include, path, re_path, register_converter
from django.urls.converters import StringConverter

from explorer import (
    oai,
    sitemaps,
    views_account,
    views_batches,
    views_browse,
    views_charts,
    views_compare,
    views_contributions,
    views_desk,
    views_entries,
    views_export,
    views_feeds,
    views_letters,
    views_live,
    views_lookups,
    views_moderation,
    views_proposals,
    views_recipes,
    views_roles,
    views_runs,
    views_samples,
    views_tokens,
    views_workers,
)


class Extension(StringConverter):
    """ "bib", "csl.json": what stands after the first dot."""

    regex = r"[a-z]+(?:\.[a-z]+)?"


register_converter(Extension, "extension")

urlpatterns = [
    path("", views_browse.front, name="front"),
    path("about", views_browse.about, name="about"),
    path("healthz", views_browse.healthz, name="healthz"),
    path("papers", views_browse.papers, name="papers"),
    path("papers/<slug:key>", views_browse.paper, name="paper"),
    path("techniques", views_browse.techniques, name="techniques"),
    path("techniques.csv", views_browse.techniques_csv, name="techniques_csv"),
    path("techniques/<slug:slug>", views_browse.technique, name="technique"),
    re_path(r"^(?P<scheme>arxiv|doi|openreview|acl)/(?P<value>.+)$", views_browse.by_identifier),
    # The same filter as the list, in other formats
    path("papers.<extension:form>", views_export.papers, name="export"),
    path("papers/<slug:key>.<extension:form>", views_export.paper, name="export_paper"),
    # For crawlers
    path("robots.txt", sitemaps.robots, name="robots"),
    path(
        "sitemap.xml",
        sitemap_views.index,
        {"sitemaps": sitemaps.SITEMAPS, "sitemap_url_name": "sitemap_part"},
        name="sitemap",
    ),
    path(
        "sitemap-<section>.xml", sitemap_views.sitemap, {"sitemaps": sitemaps.SITEMAPS}, name="sitemap_part"
    ),
    path("oai", oai.oai, name="oai"),
    # Pictures, and papers side by side
    path("charts", views_charts.chart, name="chart"),
    path("compare", views_compare.compare, name="compare"),
    path("compare.csv", views_compare.compare_csv, name="compare_csv"),
    # The desk
    path("submit", views_desk.submit, name="submit"),
    path("submissions", views_desk.submissions, name="submissions"),
    path("submissions/<int:submission_id>", views_desk.submission, name="submission"),
    path("submissions/<int:submission_id>.bib", views_desk.submission_text, name="submission_text"),
    path("submissions/<int:submission_id>/<int:position>", views_entries.entry, name="entry"),
    path("moderation", views_moderation.moderation, name="moderation"),
    path("moderation/bulk", views_moderation.bulk, name="bulk"),
    path("moderation/<int:entry_id>", views_moderation.decide, name="decide"),
    path("papers/<slug:key>/merge", views_moderation.merge_papers, name="merge_papers"),
    # Claims from readers
    path("papers/<slug:key>/claims/propose", views_proposals.propose, name="propose_claim"),
    path("proposals", views_proposals.proposals, name="proposals"),
    path("proposals/<int:proposal_id>", views_proposals.proposal, name="proposal"),
    path("changes", views_desk.changes, name="changes"),
    path("changes/<int:change_id>/undo", views_desk.undo, name="undo"),
    path(
        "submissions/<int:submission_id>/<int:position>/look-up",
        views_lookups.look_up_again,
        name="look_up_again",
    ),
    path("updates", views_lookups.updates, name="updates"),
    path("updates/<int:update_id>", views_lookups.update, name="update"),
    path("saved-queries", views_lookups.saved_queries, name="saved_queries"),
    path("saved-queries/<int:query_id>", views_lookups.saved_query, name="saved_query"),
    # The pool
    path("recipes", views_recipes.recipes, name="recipes"),
    path("recipes.csv", views_recipes.recipes_csv, name="recipes_csv"),
    path("recipes/<slug:slug>", views_recipes.recipe, name="recipe"),
    path("recipes/<slug:slug>/run", views_recipes.request_run, name="request_run"),
    path("runs", views_runs.runs, name="runs"),
    path("runs/<int:pk>", views_live.run, name="run"),
    path("runs/<int:pk>/events", views_live.run_events, name="run_events"),
    path("runs/<int:pk>/live", views_live.run_live, name="run_live"),
    path("runs/<int:pk>/log", views_live.run_log, name="run_log"),
    path("runs/<int:pk>/cancel", views_runs.cancel, name="cancel_run"),
    path("runs/<int:pk>/bundle.json", views_runs.bundle, name="bundle"),
    path("runs/<int:pk>/samples.csv", views_samples.samples_csv, name="samples"),
    path("runs/contribute", views_contributions.contribute, name="contribute"),
    path("contributions", views_contributions.contributions_list, name="contributions"),
    path("contributions/<int:contribution_id>", views_contributions.contribution, name="contribution"),
    path(
        "contributions/<int:contribution_id>/bundle.json",
        views_contributions.contribution_bundle,
        name="contribution_bundle",
    ),
    path("workers", views_workers.workers, name="workers"),
    path("workers/<int:pk>/orders", views_workers.orders, name="worker_orders"),
    # Many runs at once
    path("batches", views_batches.list_batches, name="batches"),
    path("batches/<int:pk>", views_batches.batch, name="batch"),
    path("batches/<int:pk>/live", views_batches.batch_live, name="batch_live"),
    path("batches/<int:pk>/cancel", views_batches.cancel_batch, name="cancel_batch"),
    path("schedules", views_batches.make_schedule, name="make_schedule"),
    path("schedules/<int:pk>/stop", views_batches.stop_schedule, name="stop_schedule"),
    # Hearing of decisions
    path("feeds/decisions.atom", views_feeds.decisions_feed, name="decisions_feed"),
    path("feeds/<str:token>.atom", views_feeds.own_feed, name="own_feed"),
    path("account/letters", views_letters.account_letters, name="account_letters"),
    path("letters/<str:token>/stop", views_letters.stop_letters, name="stop_letters"),
    # People and programs
    path("account", views_account.account, name="account"),
    path("account/data.json", views_account.data, name="account-data"),
    path("account/leave", views_account.leave, name="account-leave"),
    path("roles", views_roles.roles_page, name="roles"),
    path("account/tokens", views_tokens.account_tokens, name="account-tokens"),
    path("account/tokens/<int:token_id>/revoke", views_tokens.revoke_token, name="revoke-token"),
    path("api/", include("explorer.urls_api")),
]
