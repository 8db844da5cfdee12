"""Claims from readers: proposing one or the correction of one, following it, deciding on it."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.db.models import Count
from django.http import Http404
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from explorer import throttle
from explorer.addresses import present_key
from explorer.forms_proposal import DecideProposalForm, ProposalForm
from explorer.history import differences
from explorer.permissions import require
from explorer.views_moderation import page_of, read_or_write
from papers import proposals as claims
from papers.models import Claim, ClaimProposal, Paper
from papers.moderation import may_moderate

DRAFT = "claim-draft"  # in the session of somebody who has yet to sign in
AN_HOUR, PER_S = 30, 3600
PAGE = 50


@never_cache
@read_or_write
def propose(request, key):
    """The form for a claim that is missing, or with ?claim= for what that one should say."""
    require(request.user, "submit")
    paper = Paper.objects.filter(key=key).first()
    if paper is None:
        return redirect("propose_claim", key=present_key(key))
    slug = request.GET.get("claim", "").replace("\0", "")
    claim = get_object_or_404(Claim, paper=paper, slug=slug) if slug else None
    if request.method == "POST":
        return _receive(request, ProposalForm(request.POST, paper=paper, claim=claim))
    typed, standing = _draft(request), claims.standing(claim) if claim else {}
    return _form_page(request, ProposalForm(initial=typed or standing, paper=paper, claim=claim), bool(typed))


def _receive(request, form):
    """What a signed-out person typed waits in their session until they have signed in."""
    if not form.is_valid():
        form.status = 400
    elif not request.user.is_authenticated:
        request.session[DRAFT] = {"at": request.get_full_path(), "typed": form.data.dict()}
        return redirect_to_login(request.get_full_path())
    elif wait := throttle.wait_s(request, "propose", AN_HOUR, PER_S):
        form.refuse(
            f"That was {AN_HOUR} proposals within an hour. Send this one in {-(-wait // 60)} min.", 429
        )
    elif sent := form.send(request.user):
        request.session.pop(DRAFT, None)
        messages.success(request, "Thank you. A moderator looks at it next; here you see what becomes of it.")
        return redirect(sent)
    return _form_page(request, form)


def _form_page(request, form, kept=False):
    return render(request, "proposals/propose.html", {"form": form, "kept": kept}, status=form.status)


def _draft(request):
    draft = request.session.get(DRAFT) or {}
    return draft["typed"] if draft.get("at") == request.get_full_path() else None


@login_required
@never_cache
@require_safe
def proposals(request):
    """Moderators see everybody's, others their own; by what was decided."""
    found, show = _visible(request.user), request.GET.get("show")
    show = show if show in ClaimProposal.Decision.values else ClaimProposal.Decision.PENDING
    counts = dict(found.order_by().values_list("decision").annotate(Count("pk")))
    tabs = [
        (word, "waiting" if word == "pending" else word, counts.get(word, 0))
        for word in ClaimProposal.Decision.values
    ]
    shown = {"page": page_of(request, found.filter(decision=show), PAGE), "show": show, "tabs": tabs}
    return render(request, "proposals/list.html", shown | {"moderates": may_moderate(request.user)})


@login_required
@never_cache
@read_or_write
def proposal(request, proposal_id):
    """What is proposed beside what stands, and what was decided; for moderators the forms to decide."""
    found = _found(request, proposal_id)
    form = DecideProposalForm(request.POST) if request.method == "POST" else None
    if form and not may_moderate(request.user):
        raise PermissionDenied("Only moderators decide on proposed claims.")
    if form and (done := form.decide(found, request.user)):
        messages.success(request, done)
        return redirect(found)
    found = _found(request, proposal_id)  # as it stands after whatever refused us
    shown = {"proposal": found, "rows": _rows(found), "form": form, "moderates": may_moderate(request.user)}
    return render(request, "proposals/page.html", shown, status=form.status if form else 200)


def _rows(found):
    """Of a correction what it changes, of a new claim all that it says."""
    silent = {name: value for name, value in claims.proposed_values(found).items() if value in ("", False)}
    return differences(found.basis or silent, claims.proposed_values(found))


def _visible(user):
    found = ClaimProposal.objects.select_related("paper", "claim", "proposed_by", "decided_by")
    return found if may_moderate(user) else found.filter(proposed_by=user)


def _found(request, proposal_id):
    """Other people's proposals are as if they were not there, except to moderators."""
    found = _visible(request.user).filter(pk=proposal_id).first()
    if found is None:
        raise Http404("There is no such proposal of yours.")
    return found
