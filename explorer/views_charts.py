"""One drawing by itself: what a page promised, and fetches as soon as somebody looks at it."""

from django.core.exceptions import SuspiciousOperation
from django.core.signing import BadSignature
from django.http import HttpResponse
from django.shortcuts import render
from django.utils.safestring import mark_safe
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from explorer import charts, dots, drawing, timeline

DECLARED = {"lines": charts.declare, "dots": dots.declare, "years": timeline.declare}


# It changes nothing, and draws only what this site has signed; a POST, because an address has its limits.
@csrf_exempt
@require_POST
def chart(request):
    """The bare SVG for htmx, a page around it for whoever presses the button without scripts."""
    try:
        svg = drawing.drawn(request.POST.get("promise", ""), DECLARED)
    except BadSignature:
        raise SuspiciousOperation("This picture was not promised by this site.") from None
    if request.htmx:
        return HttpResponse(svg)
    return render(request, "charts/page.html", {"svg": mark_safe(svg)})
