"""The page of one's own account: how one signs in, all that is kept, and leaving."""

from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from explorer import leaving, own_data
from explorer.forms_account import LeaveForm
from explorer.streaming import streamed
from explorer.throttle import limited
from papers import roles


@login_required
@never_cache
@require_safe
def account(request):
    """Everything about one's own account."""
    held = roles.of(request.user)
    rights = [(role, [right.what for right in roles.RIGHTS.values() if right.role == role]) for role in held]
    shown = {
        "roles": rights,
        "emails": EmailAddress.objects.filter(user=request.user).order_by("-primary", "email"),
        "connected": SocialAccount.objects.filter(user=request.user),
        "tokens": request.user.api_tokens.count(),
    }
    return render(request, "account/page.html", shown)


@login_required
@never_cache
@require_safe
@limited("own-data", 20, 3600)
def data(request):
    """All that is kept of the reader, for them to take along."""
    answer = streamed(request, own_data.parts(request.user), "application/json")
    answer["Content-Disposition"] = 'attachment; filename="spectrum-account.json"'
    return answer


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def leave(request):
    """What stays and what goes, and the question; a POST with the password deletes the account."""
    if request.method == "POST":
        return _leave(request)
    return _leave_page(request, LeaveForm(user=request.user))


@limited("leave", 10, 3600)
def _leave(request):
    form = LeaveForm(request.POST, user=request.user)
    if form.is_valid():
        try:
            name = leaving.leave(request.user)
        except leaving.Refused as refused:
            form.add_error(None, str(refused))
        else:
            logout(request)
            messages.success(request, f"Your account is deleted. What you gave stays here as by “{name}”.")
            return redirect("front")
    return _leave_page(request, form, 400)


def _leave_page(request, form, status=200):
    in_flight = request.user.runs.filter(status__in=["queued", "running"])
    return render(
        request, "account/leave.html", {"form": form, "in_flight": in_flight.count()}, status=status
    )
