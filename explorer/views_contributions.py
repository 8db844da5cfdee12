"""Bundles from elsewhere: sending one in, following it, deciding on it."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Count
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.dateparse import parse_datetime
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from explorer import throttle
from explorer.forms_contribution import ContributeForm, DecideForm
from explorer.permissions import require
from papers.moderation import may_moderate
from reproduce import catalogue, contributions
from reproduce.models import Contribution

AN_HOUR, PER_S = 20, 3600
PAGE = 50
read_or_write = require_http_methods(["GET", "HEAD", "POST"])


@never_cache
@read_or_write
def contribute(request):
    """What contributing is, the command that makes a bundle, and the form that takes it."""
    require(request.user, "submit")
    form = ContributeForm(*((request.POST, request.FILES) if request.method == "POST" else ()))
    if not form.is_bound:
        return _form_page(request, form)
    if not request.user.is_authenticated:
        return redirect_to_login(reverse("contribute"))
    if wait := throttle.wait_s(request, "contribute", AN_HOUR, PER_S):
        told = f"That was {AN_HOUR} bundles within an hour. Send this one in {-(-wait // 60)} min."
        form.refuse(told, 429)
        page = _form_page(request, form)
        page.headers["Retry-After"] = str(wait)
        return page
    if not (sent := form.send(request.user)):
        return _form_page(request, form)
    messages.success(request, "Thank you. It is checked and complete; a moderator looks at it next.")
    return redirect(sent)


def _form_page(request, form):
    asked = request.GET.get("recipe", "")
    recipe = catalogue.recipe(asked) or next(iter(catalogue.recipes()), None)
    return render(
        request, "contributions/contribute.html", {"form": form, "recipe": recipe}, status=form.status
    )


@login_required
@never_cache
@require_safe
def contributions_list(request):
    """Moderators see everybody's, others their own; by what was decided."""
    moderates = may_moderate(request.user)
    found = contributions.visible_to(request.user) if moderates else contributions.of(request.user)
    show = request.GET.get("show")
    show = show if show in Contribution.Decision.values else Contribution.Decision.PENDING
    counts = dict(found.order_by().values_list("decision").annotate(Count("pk")))
    tabs = [
        (word, "waiting" if word == "pending" else word, counts.get(word, 0))
        for word in Contribution.Decision.values
    ]
    page = Paginator(found.filter(decision=show), PAGE).get_page(request.GET.get("page"))
    context = {"page": page, "show": show, "tabs": tabs, "moderates": moderates}
    return render(request, "contributions/list.html", context)


@never_cache
@read_or_write
def contribution(request, contribution_id):
    """What was measured beside what was claimed, where it was measured, and what was decided."""
    found = _found(request, contribution_id)
    form = DecideForm(request.POST) if request.method == "POST" else None
    if form and not request.user.is_authenticated:
        return redirect_to_login(found.get_absolute_url())
    if form and not may_moderate(request.user):
        raise PermissionDenied("Only moderators decide on contributions.")
    if form and (done := form.decide(found, request.user)):
        messages.success(request, done)
        return redirect(found)
    found = _found(request, contribution_id)  # as it stands after whatever refused us
    return render(
        request, "contributions/page.html", _shown(request, found, form), status=form.status if form else 200
    )


def _shown(request, found, form):
    report, recipe = contributions.opened(found), catalogue.recipe(found.recipe)
    moderates = may_moderate(request.user)
    return {
        "contribution": found,
        "report": report,
        "recipe": recipe,
        "started": parse_datetime(report["started"]),
        "duration": (parse_datetime(report["finished"]) - parse_datetime(report["started"])).total_seconds(),
        "paper": recipe and catalogue.paper_of(recipe),
        "current": recipe and recipe.digest == report["recipe"]["digest"],
        "measurements": contributions.judged(found, report),
        "failed": [guard for guard in report["guards"] if not guard["passed"]],
        "history": contributions.history(found),
        "moderates": moderates,
        "private": moderates or found.sent_by == request.user,
        "form": form,
    }


@never_cache
@require_safe
def contribution_bundle(request, contribution_id):
    """The bundle, byte for byte as it was sent."""
    found = _found(request, contribution_id)
    response = HttpResponse(contributions.raw(found), content_type="application/json")
    name = f"{found.recipe}-contribution-{found.pk}.json"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _found(request, contribution_id):
    """Until they are accepted, other people's contributions are as if they were not there."""
    found = contributions.visible_to(request.user).filter(pk=contribution_id).first()
    if found is None:
        raise Http404("There is no such contribution, or it is not public. Sign in if it is yours.")
    return found
