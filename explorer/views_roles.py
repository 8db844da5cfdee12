"""The page of roles: who may do what, who holds which, and the log of how they changed hands."""

from django import forms
from django.contrib import messages
from django.contrib.auth import get_user_model
from django.contrib.auth.decorators import login_required
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from explorer.permissions import require
from papers import roles
from papers.models import RoleChange

LATEST = 100


class RoleForm(forms.Form):
    username = forms.CharField(max_length=150, label="User name")
    role = forms.ChoiceField(choices=[(role, role) for role in roles.GROUPS])
    action = forms.ChoiceField(choices=[("give", "give"), ("take", "take")], label="Give or take")
    why = forms.CharField(max_length=300, label="Why", help_text="Kept in the log below.")

    def change(self, who):
        """What was done, in a sentence; empty when it was refused, which the errors tell."""
        if not self.is_valid():
            return ""
        name, role, action, why = (
            self.cleaned_data[field] for field in ("username", "role", "action", "why")
        )
        user = get_user_model().objects.filter(username=name).first()
        if user is None:
            self.add_error("username", "There is no such account. Names are exact, capitals included.")
            return ""
        try:
            done = (roles.give if action == "give" else roles.take)(user, role, who=who, why=why)
        except roles.Refused as refused:
            self.add_error(None, str(refused))
            return ""
        stands = (
            f"{name} is {'no longer ' if action == 'take' else ''}a{'n' if role == 'operator' else ''} {role}"
        )
        return f"{stands}." if done else f"{stands}: that was so already."


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def roles_page(request):
    """Everybody reads who decides here; operators give and take."""
    if request.method == "POST":
        return _change(request)
    return _page(request, RoleForm())


@login_required
def _change(request):
    require(request.user, "roles")
    form = RoleForm(request.POST)
    if done := form.change(request.user):
        messages.success(request, done)
        return redirect("roles")
    return _page(request, form, 400)


def _page(request, form, status=200):
    """Who was made to only read is told to operators alone."""
    operator = roles.may(request.user, "roles")
    log = RoleChange.objects.select_related("user", "who")
    shown = {
        "rights": roles.RIGHTS.values(),
        "held": [(role, roles.holders(role)) for role in (roles.MODERATOR, roles.OPERATOR)],
        "restricted": roles.holders(roles.SUBMITTER) if operator else None,
        "log": (log if operator else log.exclude(role=roles.SUBMITTER))[:LATEST],
        "form": form if operator else None,
    }
    return render(request, "account/roles.html", shown, status=status)
