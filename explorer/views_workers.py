"""The page of the workers: what each of them has and does; its operators pause, drain and resume it there."""

from datetime import timedelta

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Prefetch
from django.db.models.functions import Now
from django.http import Http404
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from reproduce import pool
from reproduce.models import Run, Worker
from reproduce.operators import is_operator

LATELY = timedelta(days=1)
SAID = {
    "serve": "{} takes runs again.",
    "pause": "{} takes no new run; what it runs goes on.",
    "drain": "{} takes no new run, and leaves the pool once it is idle.",
}


@require_safe
def workers(request):
    """Who is alive, with which slots, doing what; and who has left within a day."""
    template = "workers/_pool.html" if request.htmx else "workers/list.html"
    return render(request, template, _pool(request))


def orders(request, pk):
    """A POST tells a worker what to do. A GET is where signing in leads whose session had ended."""
    return _give(request, pk) if request.method == "POST" else redirect("workers")


@login_required
def _give(request, pk):
    if not is_operator(request.user):
        raise PermissionDenied("Only operators tell workers what to do.")
    worker = Worker.objects.filter(pk=pk).first()
    wanted = request.POST.get("orders", "")
    if worker is None or wanted not in Worker.Orders.values:
        raise Http404("There is no such worker, or no such order. /workers shows both.")
    if pool.give_orders(worker, wanted, who=request.user.get_username()):
        messages.success(request, SAID[wanted].format(worker.name))
    else:
        messages.info(request, f"{worker.name} has left, or was told so already.")
    return redirect("workers")


def _pool(request):
    alive = list(pool.alive_workers().prefetch_related(Prefetch("runs", _running(), to_attr="running")))
    for worker in alive:
        doing = {run.slot: run for run in worker.running}
        worker.places = [slot | {"run": doing.get(number)} for number, slot in enumerate(worker.slots)]
    gone = Worker.objects.exclude(pk__in=[worker.pk for worker in alive]).filter(seen__gt=Now() - LATELY)
    waiting = Run.objects.filter(status="queued").order_by().values("device").annotate(runs=Count("pk"))
    shown = {"alive": alive, "gone": gone.order_by("-seen")[:20], "waiting": waiting}
    return shown | {"may_order": is_operator(request.user)}


def _running():
    return Run.objects.filter(status="running").defer(*Run.HEAVY)
