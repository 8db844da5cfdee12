"""The page where people make, see once and revoke their API tokens."""

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from explorer import tokens


class TokenForm(forms.Form):
    name = forms.CharField(
        max_length=60, label="What is it for?", help_text="A name that tells you later where you put it."
    )


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def account_tokens(request):
    """The tokens of the user; a POST makes one and shows it in its own answer, nowhere else ever."""
    form, made = TokenForm(request.POST if request.method == "POST" else None), None
    if form.is_valid():
        try:
            made = tokens.issue(request.user, form.cleaned_data["name"])
            form = TokenForm()
        except tokens.Refused as refused:
            form.add_error(None, str(refused))
    shown = {
        "form": form,
        "made": made,
        "tokens": request.user.api_tokens.all(),
        "most": tokens.MOST_PER_USER,
    }
    return render(request, "account/tokens.html", shown, status=400 if form.is_bound else 200)


@login_required
def revoke_token(request, token_id):
    """A POST revokes. A GET is where signing in leads whose session had ended: back to the list."""
    if request.method != "POST":
        return redirect("account-tokens")
    gone = tokens.revoke(request.user, token_id)
    messages.info(
        request, "The token is revoked: it opens nothing any more." if gone else "You have no such token."
    )
    return redirect("account-tokens")
