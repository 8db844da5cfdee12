"""An entry of which only identifiers are known waits for its metadata, gets it once, and is judged anew."""

import pytest
from django.db import IntegrityError, transaction

from papers import completion, intake, moderation
from papers.facts import Facts
from papers.models import Entry
from tests.making import bib_entry, make_facts, make_paper, make_technique

pytestmark = pytest.mark.django_db


def make_incomplete(who=None, **over):
    """The one entry of a submission of an arXiv id, which says its year."""
    submission = intake.submit(bib_entry(), who=who)
    facts = Facts(identifiers=[["arxiv", "2401.00001"]], year=2024, month=1)
    given = {"fields": facts.to_json(), "found": Entry.Found.INCOMPLETE, "reason": "Lacks a title."} | over
    submission.entries.update(**given)
    return submission.entries.get()


def test_it_gets_what_it_lacked_and_keeps_its_identifiers():
    entry = make_incomplete()
    given = make_facts(identifiers=[["doi", "10.5555/one"]], year=2025, sources=["Crossref"])
    done = completion.complete(entry, given, notes=["From Crossref."])
    assert (done.found, done.reason, done.paper) == ("new", "", None)
    facts = Facts.from_json(done.fields)
    assert facts.identifiers == [["arxiv", "2401.00001"], ["doi", "10.5555/one"]]
    assert (facts.title, facts.year, facts.month, facts.sources) == ("Adding Up Less", 2025, 1, ["Crossref"])
    assert done.fields["notes"] == ["From Crossref."]


def test_it_is_judged_anew_among_papers_and_siblings():
    here = make_paper(title="Adding Up Less", year=2024)
    done = completion.complete(make_incomplete(), make_facts())
    assert (done.found, done.paper) == ("known", here)
    here.delete()
    entry = make_incomplete()
    Entry.objects.create(
        submission=entry.submission, position=2, line=9, found="new", fields=make_facts().to_json()
    )
    done = completion.complete(entry, make_facts())
    assert (done.found, done.paper) == ("known", None)
    assert done.reason == "The same as entry 2 of this submission: same title and first author."


def test_half_of_it_is_refused_and_changes_nothing():
    entry = make_incomplete()
    with pytest.raises(moderation.Refused, match=r"^Title and authors still missing\.$"):
        completion.complete(entry, Facts(venue="ICXX"))
    assert Entry.objects.get().fields == entry.fields


def test_the_first_to_complete_it_wins(ada):
    entry = make_incomplete()
    assert completion.complete(entry, make_facts(title="First")) is not None
    assert completion.complete(entry, make_facts(title="Second")) is None
    assert Entry.objects.get().fields["title"] == "First"
    rejected = make_incomplete()
    moderation.reject(rejected, who=ada, reason="Out of scope")
    assert completion.complete(rejected, make_facts()) is None


def test_it_is_not_accepted_before(ada):
    technique, entry = make_technique(), make_incomplete()
    with pytest.raises(moderation.Refused, match=r"Complete its metadata first\. Lacks a title\."):
        moderation.accept(entry, who=ada, techniques=[technique])
    with pytest.raises(IntegrityError, match="entry_incomplete_never_accepted"), transaction.atomic():
        Entry.objects.filter(pk=entry.pk).update(decision="accepted", decided=entry.submission.created)
    paper = moderation.accept(completion.complete(entry, make_facts()), who=ada, techniques=[technique])
    assert paper.title == "Adding Up Less"
