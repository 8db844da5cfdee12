"""Whether one has e-mails about one's submissions: on the account's page, or by the link in each of them."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt

from explorer import feeds, letters
from explorer.views_moderation import read_or_write


@login_required
@never_cache
@read_or_write
def account_letters(request):
    """E-mails, yes or no; and the address of one's own feed."""
    if request.method == "POST":
        letters.choose(request.user, "wanted" in request.POST)
        messages.success(request, "Kept.")
        return redirect("account_letters")
    feed = request.build_absolute_uri(feeds.own_address(request.user))
    shown = {"wanted": not letters.stopped(request.user), "feed": feed}
    return render(request, "account/letters.html", shown)


@csrf_exempt  # mail programs send this POST themselves (RFC 8058); the signed address is what allows it
@never_cache
@read_or_write
def stop_letters(request, token):
    """Without signing in. A GET only asks: programs that look at mail follow links."""
    user = letters.user_of(token)
    if user is None:
        raise Http404(
            "This link is not whole, or its account has left. Sign in to choose at /account/letters."
        )
    if request.method == "POST":
        letters.choose(user, "again" in request.POST)
    return render(request, "letters/stop.html", {"stopped": letters.stopped(user), "token": token})
