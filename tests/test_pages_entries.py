"""One entry's page and its form by hand; a large submission that is read on, whoever stops."""

import pytest
from django.db import connection

from explorer import tasks, views_desk
from papers import intake, moderation
from papers.models import Entry, Submission
from tests.desk import text_of
from tests.making import bib_entry, make_paper, make_technique

pytestmark = pytest.mark.django_db
TYPED = {
    "title": "Adding Up Less",
    "authors": "Invented, Ida\nMax Made\n{The Sums Group}",
    "year": "2024",
    "kind": "inproceedings",
    "venue": "ICXX",
    "identifiers": "arxiv:2401.00001\nhttps://openreview.net/forum?id=abcDEF123",
}


@pytest.fixture
def sent(ben):
    return intake.submit("2401.00001\nno reference at all\n", who=ben)


def test_identifiers_are_recognised_and_wait_for_their_metadata(client, ben, sent):
    client.force_login(ben)
    text = text_of(client.get(sent.get_absolute_url()))
    assert "2 references found: 1 metadata to be completed, 1 invalid." in text
    assert "Recognised: 1 arXiv id, 1 line that is none of these." in text
    assert "arXiv id 2401.00001" in text


def test_an_identifier_that_is_here_is_known_and_one_that_comes_twice_is_told(ben):
    here = make_paper([("arxiv", "2401.00001")])
    text = "arXiv:2401.00001v3\n10.5555/x\nhttps://doi.org/10.5555/X\n" + bib_entry(doi="10.5555/x")
    entries = intake.submit(text, who=ben).entries
    assert list(entries.values_list("found", "reason", "paper")) == [
        ("known", "Already here: same arXiv id, 2401.00001.", here.pk),
        (
            "incomplete",
            "line 2: only its DOI 10.5555/x is given; title, authors and year are to be completed.",
            None,
        ),
        ("known", "The same as entry 2 of this submission: same DOI, 10.5555/x.", None),
        ("new", "", None),
    ]


def test_whoever_sent_it_completes_it_by_hand(client, ben, sent):
    client.force_login(ben)
    address = f"{sent.get_absolute_url()}/1"
    assert client.get(address).context["form"].initial["identifiers"] == "arxiv:2401.00001"
    assert client.post(address, TYPED).url == address
    entry = sent.entries.get(position=1)
    assert (entry.found, entry.fields["authors"]) == ("new", "Invented, Ida and Made, Max and The Sums Group")
    assert (entry.fields["venue"], entry.fields["kind"], entry.fields["month"]) == (
        "ICXX",
        "inproceedings",
        1,
    )
    assert entry.fields["identifiers"] == [["arxiv", "2401.00001"], ["openreview", "abcDEF123"]]
    assert entry.fields["notes"] == ["Completed by hand by ben."]
    page = client.get(address)
    assert page.context["form"] is None
    assert "Completed: it is new." in text_of(page)


@pytest.mark.parametrize(
    ("typed", "field", "sentence"),
    [
        ({"title": ""}, "title", "No title; give its title."),
        ({"authors": " \n"}, "authors", "No author; name at least one, or tick that nobody is named."),
        ({"year": "1066"}, "year", "The year 1066 is not between 1900 and 2100."),
        ({"month": "Spring"}, "month", "“Spring” is no month and was left out; write 1 to 12."),
        (
            {"url": "javascript:alert(1)"},
            "url",
            "Url “javascript:alert(1)” is no web address; it must begin with https:// or http://.",
        ),
        (
            {"identifiers": "see below"},
            "identifiers",
            "“see below” is no arXiv id, DOI, OpenReview or ACL link.",
        ),
    ],
)
def test_what_is_wrong_in_the_form_is_told_and_nothing_is_lost(client, ben, sent, typed, field, sentence):
    client.force_login(ben)
    page = client.post(f"{sent.get_absolute_url()}/1", TYPED | typed)
    assert (page.status_code, page.context["form"].errors) == (400, {field: [sentence]})
    assert page.context["form"]["venue"].value() == "ICXX"
    assert sent.entries.get(position=1).found == "incomplete"


def test_a_line_that_was_not_recognised_is_completed_too_and_by_a_moderator(client, ada, cy, sent):
    client.force_login(cy)
    address = f"{sent.get_absolute_url()}/2"
    assert client.get(address).status_code == 404
    client.force_login(ada)
    assert client.get(address).context["form"].initial["title"] == "no reference at all"
    client.post(address, TYPED | {"identifiers": ""})
    assert sent.entries.get(position=2).found == "new"


def test_completing_what_somebody_completed_or_decided_is_refused(client, ben, ada, sent):
    client.force_login(ben)
    moderation.reject(sent.entries.get(position=1), who=ada, reason="Out of scope")
    page = client.post(f"{sent.get_absolute_url()}/1", TYPED)
    assert page.status_code == 409
    assert "rejected by ada" in text_of(page)


@pytest.fixture
def large(monkeypatch):
    """A text that takes several batches, and requests that have time for none but the first."""
    monkeypatch.setattr(intake, "BATCH", 3)
    monkeypatch.setattr(views_desk, "READ_S", 1e-9)
    make_technique()
    return "".join(bib_entry(title=f"Title {number % 7}") for number in range(8))


def test_a_large_submission_is_read_on_by_its_page(client, ben, large):
    client.force_login(ben)
    address = client.post("/submit", {"text": large}).url
    assert "6 of 8 references read" in text_of(page := client.get(address))
    assert '<meta http-equiv="refresh"' in page.content.decode()
    page = client.get(address)
    assert page.context["contents"].found == {"new": 7, "known": 1}


def test_what_nobody_looks_at_is_read_on_by_the_clock(client, ben, large):
    client.force_login(ben)
    client.post("/submit", {"text": large})
    sent = Submission.objects.get()
    Entry.objects.filter(position=3).delete()  # as if the process had died within a batch
    tasks.read_submissions()
    assert list(sent.entries.values_list("position", flat=True)) == list(range(1, 9))
    assert sent.entries.get(position=8).reason == (
        "The same as entry 1 of this submission: same title and first author."
    )
    assert not intake.unread().exists()


@pytest.mark.django_db(transaction=True)
def test_two_readers_do_not_get_into_each_others_way(ben, large):
    """While one holds the submission, the other returns at once and stores nothing twice."""
    sent = intake.submit(large, who=ben, within_s=0)
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("SELECT 1 FROM papers_submission WHERE id = %s FOR UPDATE", [sent.pk])
            assert intake.read_on(sent) is False
            assert sent.entries.count() == 3
    finally:
        other.close()
    assert intake.read_on(sent) is True
    assert sent.entries.count() == 8
