"""Decisions as Atom feeds: all on papers and claims, and a submitter's own at an address of theirs."""

from io import StringIO

from django.contrib.auth import get_user_model
from django.core import signing
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.xmlutils import SimplerXMLGenerator

from explorer import atom, history
from papers.changes import CONTRIBUTION
from papers.models import Entry

LATEST = 100
SALT = "own-feed"


def decisions():
    """The newest changes that people made to papers and claims; what others sent in is not public."""
    ours = Q(subject__startswith="paper ") | Q(subject__startswith="claim ")
    found = history.changes().filter(ours).exclude(action="load").exclude(subject__startswith=CONTRIBUTION)
    return history.with_differences(list(found[:LATEST]))


def own_decisions(user):
    """The newest decisions on what a user sent in."""
    found = Entry.objects.filter(submission__submitted_by=user, decided__isnull=False)
    return found.select_related("paper").order_by("-decided", "-pk")[:LATEST]


def own_address(user):
    return reverse("own_feed", args=[signing.dumps([user.pk, _seal(user)], salt=SALT)])


def user_of(token):
    """Whose feed it is; None for an address that we did not make, or from before a new password."""
    try:
        pk, seal = signing.loads(token, salt=SALT)
    except (signing.BadSignature, ValueError):
        return None
    user = get_user_model().objects.filter(pk=pk, is_active=True).first()
    return user if user and constant_time_compare(seal, _seal(user)) else None


def of_changes(changes, site, address):
    page = site + reverse("changes")
    updated = changes[0].when if changes else timezone.now()
    yield atom.opening("Spectrum: decisions", address, page, updated)
    for change in changes:
        title = change.paper.title if change.paper else change.subject
        link = f"{page}?paper={change.paper.key}#change-{change.pk}" if change.paper else page
        lines = [change.why, *(f"{row.label}: {row.old} → {row.new}" for row in _few(change))]
        by = change.who.username if change.who else ""
        yield entry(f"{page}#change-{change.pk}", f"{change.verb}: {title}", link, change.when, lines, by)
    yield "</feed>\n"


def of_entries(entries, site, address):
    page = site + reverse("submissions")
    updated = entries[0].decided if entries else timezone.now()
    yield atom.opening("Spectrum: decisions on what you sent in", address, page, updated)
    for sent in entries:
        paper = sent.paper if sent.decision != Entry.Decision.REJECTED else None
        where = paper or sent.submission
        title = f"{sent.decision}: {sent.fields.get('title') or '(no title read)'}"
        ident = f"{site}{sent.submission.get_absolute_url()}#entry-{sent.position}"
        link = site + where.get_absolute_url()
        yield entry(ident, title, link, sent.decided, [sent.decision_reason])
    yield "</feed>\n"


def entry(ident, title, link, when, lines, by=""):
    text = StringIO()
    xml = SimplerXMLGenerator(text, "utf-8")
    xml.startElement("entry", {})
    atom.element(xml, "title", title)
    atom.element(xml, "id", ident)
    atom.element(xml, "updated", atom.moment(when))
    xml.addQuickElement("link", attrs={"rel": "alternate", "type": "text/html", "href": link})
    if by:
        xml.startElement("author", {})
        atom.element(xml, "name", by)
        xml.endElement("author")
    atom.element(xml, "summary", "\n".join(filter(None, lines)))
    xml.endElement("entry")
    return text.getvalue() + "\n"


def _few(change):
    """What an edit changed; all that a paper began with would be its whole record."""
    return change.differences if change.before and change.after else []


def _seal(user):
    return salted_hmac(SALT, user.password).hexdigest()[:16]
