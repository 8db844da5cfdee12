"""Every page that a search engine should know: papers by the thousand, and the few others at once."""

from functools import cached_property

from django.contrib.sitemaps import Sitemap
from django.core.paginator import EmptyPage, PageNotAnInteger
from django.db.models import Max
from django.http import HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from explorer import freshness
from papers.models import Paper, Technique
from reproduce import catalogue

PER_FILE = 5_000
ROBOTS = """\
User-agent: *
Disallow: /account/
Disallow: /api/
Disallow: /moderation
Disallow: /papers?
Disallow: /papers.
Disallow: /submissions

Sitemap: {sitemap}
"""


class KeyRanges:
    """Pages of papers by spans of their primary keys: the last costs what the first costs."""

    def __init__(self, papers, per_page):
        self.papers, self.per_page = papers, per_page

    @cached_property
    def num_pages(self):
        last = self.papers.order_by().aggregate(last=Max("pk"))["last"] or 0
        return max(1, -(-last // self.per_page))

    def page(self, number):
        try:
            number = int(number)
        except ValueError:
            raise PageNotAnInteger("A page is a number.") from None
        if not 1 <= number <= self.num_pages:
            raise EmptyPage(f"There are {self.num_pages} pages.")
        last = number * self.per_page
        return Part(self.papers.filter(pk__gt=last - self.per_page, pk__lte=last).order_by("pk"))


class Part:
    def __init__(self, papers):
        self.object_list = papers


class Papers(Sitemap):
    limit = PER_FILE

    @cached_property
    def paginator(self):
        return KeyRanges(Paper.objects.only("key", "changed"), self.limit)

    def lastmod(self, paper):
        return paper.changed

    def get_latest_lastmod(self):
        return freshness.state().changed


class Pages(Sitemap):
    def items(self):
        fixed = [reverse(name) for name in ("front", "papers", "techniques", "recipes", "about")]
        techniques = [reverse("technique", args=[slug]) for slug in slugs()]
        return [*fixed, *techniques, *(reverse("recipe", args=[each.slug]) for each in catalogue.recipes())]

    def location(self, address):
        return address


def slugs():
    return Technique.objects.order_by("position").values_list("slug", flat=True)


SITEMAPS = {"papers": Papers, "pages": Pages}


@require_safe
def robots(request):
    """Lists and exports have no end; a crawler finds every paper in the sitemap."""
    sitemap = request.build_absolute_uri(reverse("sitemap"))
    return HttpResponse(ROBOTS.format(sitemap=sitemap), content_type="text/plain; charset=utf-8")
