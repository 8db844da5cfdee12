"""OAI-PMH 2.0 for harvesters: every paper in Dublin Core, by date of change and by axis.

The library oaipmh speaks the protocol; here is what it says. A list goes on from a key, not from an offset.
"""

from datetime import UTC

from django.conf import settings
from django.db.models import Min
from django.http import HttpResponse
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods
from oaipmh import error, server
from oaipmh.common import Header, Identify, Metadata
from oaipmh.metadata import MetadataRegistry

from explorer import freshness
from explorer.atom import fit
from papers import bibtex
from papers.facts import Facts
from papers.identifiers import link
from papers.models import AXES, Paper

BATCH = 100
PREFIX = "oai_dc"
FORMAT = (PREFIX, "http://www.openarchives.org/OAI/2.0/oai_dc.xsd", server.NS_OAIDC)
REGISTRY = MetadataRegistry()
REGISTRY.registerWriter(PREFIX, server.oai_dc_writer)


@csrf_exempt  # the protocol wants POST as well, and nothing here changes anything
@require_http_methods(["GET", "HEAD", "POST"])
def oai(request):
    asked = request.POST if request.method == "POST" else request.GET
    # An argument given twice is an error of the protocol: the last would win unseen.
    given = {fit(name): fit(values[0]) if len(values) == 1 else "" for name, values in asked.lists()}
    if given.get("verb") == "GetMetadata":  # the library's own, and no verb of the protocol
        given["verb"] = ""
    repository = Repository(request)
    xml = server.ServerBase(repository, REGISTRY).handleRequest(given)
    return HttpResponse(xml, content_type="text/xml; charset=utf-8")


class Repository:
    """The verbs, as oaipmh's resuming interface calls them: a list comes with its token, at its end None."""

    def __init__(self, request):
        self.site, self.host = request.build_absolute_uri("/").rstrip("/"), request.get_host()

    def identify(self):
        first = Paper.objects.order_by().aggregate(first=Min("changed"))["first"] or freshness.BEGINNING
        return Identify(
            "Spectrum",
            self.site + reverse("oai"),
            "2.0",
            [settings.DEFAULT_FROM_EMAIL],
            naive(first),
            "no",
            "YYYY-MM-DDThh:mm:ssZ",
            ["identity"],
        )

    def listMetadataFormats(self, identifier=None):
        if identifier is not None:
            self.named(identifier)
        return [FORMAT]

    def listSets(self, resumptionToken=None):
        if resumptionToken is not None:
            raise error.BadResumptionTokenError("The list of sets is sent at once.")
        return [(slug, name, None) for slug, name in AXES.items()], None

    def getRecord(self, metadataPrefix, identifier):
        self.check(metadataPrefix)
        return self.record(self.named(identifier))

    getMetadata = getRecord

    def listRecords(self, **asked):
        papers, token = self.batch(asked)
        return [self.record(paper) for paper in papers], token

    def listIdentifiers(self, **asked):
        papers, token = self.batch(asked)
        return [self.header(paper) for paper in papers], token

    def batch(self, asked):
        """The next papers after the primary key in the token, and the token for those after them."""
        after = 0
        if "resumptionToken" in asked:
            asked, after = resumed(asked["resumptionToken"])
        self.check(asked.get("metadataPrefix"))
        papers = selected(asked).filter(pk__gt=after).in_full().order_by("pk")[: BATCH + 1]
        found = list(papers)
        token = server.encodeResumptionToken(asked, found[BATCH - 1].pk) if len(found) > BATCH else None
        return found[:BATCH], token

    def check(self, prefix):
        if prefix != PREFIX:
            raise error.CannotDisseminateFormatError(f"Records are offered as {PREFIX}.")

    def named(self, identifier):
        key = identifier.removeprefix(f"oai:{self.host}:")
        paper = Paper.objects.in_full().filter(key=key).first() if key != identifier else None
        if paper is None:
            raise error.IdDoesNotExistError(f"No paper here is called {identifier[:200]}.")
        return paper

    def record(self, paper):
        return self.header(paper), Metadata(None, self.dublin_core(paper)), None

    def header(self, paper):
        axes = sorted({technique.axis for technique in paper.techniques.all()})
        return Header(None, f"oai:{self.host}:{paper.key}", naive(paper.changed), axes, False)

    def dublin_core(self, paper):
        facts = Facts.of(paper)
        preprint, address = bibtex.on_arxiv_alone(facts), self.site + paper.get_absolute_url()
        values = {
            "title": [facts.title],
            "creator": paper.author_list,
            "subject": [technique.name for technique in paper.techniques.all()],
            "description": [facts.abstract],
            "date": [f"{facts.year}-{facts.month:02}" if facts.month else str(facts.year)],
            "type": ["Text", "preprint" if preprint else facts.kind],
            "identifier": [address, *(link(*name) for name in facts.identifiers)],
            "source": [facts.venue],
        }
        return {name: [fit(text) for text in texts if text] for name, texts in values.items()}


def selected(asked):
    """The papers of a set and of a span of changes, both ends included to the second."""
    papers = Paper.objects.all()
    if axis := asked.get("set"):
        papers = papers.on_axes([axis])
    if since := asked.get("from_"):
        papers = papers.filter(changed__gte=since.replace(tzinfo=UTC))
    if until := asked.get("until"):
        papers = papers.filter(changed__lte=until.replace(microsecond=999_999, tzinfo=UTC))
    return papers


def resumed(token):
    """What a token says: the arguments of its list, and the key to go on from."""
    try:
        asked, after = server.decodeResumptionToken(token)
    except (ValueError, error.DatestampError) as fault:
        raise error.BadResumptionTokenError("This token was not given here.") from fault
    if not 0 <= after < 2**63 or asked.get("metadataPrefix") != PREFIX:
        raise error.BadResumptionTokenError("This token was not given here.")
    return asked, after


def naive(time):
    return time.astimezone(UTC).replace(tzinfo=None)
