"""What submitters hear: one e-mail for each submission, stopped by a link, and feeds of decisions."""

import re
import threading
from smtplib import SMTPServerDisconnected

import pytest
from django.core import mail
from django.db import connection
from django.utils.dateparse import parse_datetime

from explorer import feeds, letters
from papers import intake, moderation
from tests.desk import make_edited, text_of
from tests.making import bib_entry, make_entry, make_technique

pytestmark = pytest.mark.django_db
UNREADABLE = "@misc{x,}\n"


@pytest.fixture
def decided(ada, ben):
    """A submission of Ben's: one accepted, one rejected, one that could not be read."""
    make_technique()
    sent = intake.submit(bib_entry(title="Good One") + bib_entry(title="Poor One") + UNREADABLE, who=ben)
    good, poor, _ = sent.entries.order_by("position")
    moderation.accept(good, who=ada, techniques=["sparse-sums"])
    assert letters.send_due() == 0  # one still waits
    moderation.reject(poor, who=ada, reason="Not about models")
    return sent


def stop_link(message):
    return re.search(r"http://localhost:\d+(/letters/\S+/stop)", message.body)[1]


def test_one_letter_when_all_is_decided_and_never_another(decided, ada, ben):
    assert letters.send_due() == 1
    (message,) = mail.outbox
    assert message.to == [ben.email]
    for line in (
        *("1. Good One", "accepted: http://localhost:8000/papers/invented2024good", "2. Poor One"),
        *("“Not about models”", "could not be read", f"/submissions/{decided.pk}"),
    ):
        assert line in message.body
    moderation.reopen(decided.entries.get(position=2), who=ada, why="By mistake")
    moderation.reject(decided.entries.get(position=2), who=ada, reason="After all")
    assert (letters.send_due(), len(mail.outbox)) == (0, 1)


def test_what_the_mail_server_did_not_take_is_sent_next_time(decided, monkeypatch):
    def away(self):
        raise SMTPServerDisconnected("Connection unexpectedly closed")

    with monkeypatch.context() as patched:
        patched.setattr("django.core.mail.EmailMessage.send", away)
        assert letters.send_due() == 0
    assert (letters.send_due(), len(mail.outbox)) == (1, 1)


def test_two_tasks_at_once_send_one_letter(transactional_db, decided, monkeypatch):
    gate, sent = threading.Barrier(2), []
    due = letters.due

    def seen_by_both():
        found = due()
        assert decided.pk in found.values_list("pk", flat=True)
        gate.wait()
        return found

    monkeypatch.setattr(letters, "due", seen_by_both)

    def run():
        sent.append(letters.send(decided.pk))
        connection.close()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (sorted(sent), len(mail.outbox)) == ([False, True], 1)


def test_a_link_in_the_letter_stops_them_without_signing_in(decided, ada, ben, client):
    letters.send_due()
    link = stop_link(mail.outbox[0])
    assert "You get one e-mail" in text_of(client.get(link))  # programs that follow links stop nothing
    assert letters.wants_letters(ben)
    assert "No more e-mails" in text_of(client.post(link, {"List-Unsubscribe": "One-Click"}))
    assert not letters.wants_letters(ben)
    moderation.reject(make_entry(ben, title="Another"), who=ada, reason="No")
    assert (letters.send_due(), len(mail.outbox)) == (0, 1)
    client.post(link, {"again": "1"})
    assert letters.wants_letters(ben)
    assert letters.send_due() == 0  # what was decided meanwhile stays unsaid
    assert client.post("/letters/forged/stop").status_code == 404


def test_letters_are_chosen_on_the_accounts_page(client, ben):
    client.force_login(ben)
    assert client.get("/account/letters").context["wanted"]
    client.post("/account/letters", {})
    assert not client.get("/account/letters").context["wanted"]
    client.post("/account/letters", {"wanted": "on"})
    assert client.get("/account/letters").context["wanted"]


def test_the_public_feed_has_papers_and_edits_but_no_entries_of_others(decided, ada, client):
    make_edited(ada, make_technique())
    page = client.get("/feeds/decisions.atom")
    text = page.content.decode()
    assert page["Content-Type"].startswith("application/atom+xml")
    titles = re.findall(r"<entry><title>([^<]+)", text)
    assert titles == ["edited: Adding Up Less", "published: Adding Up Less", "accepted: Good One"]
    assert "Year: 2024 → 2023" in text
    assert "Poor One" not in text
    assert client.get("/feeds/decisions.atom", headers={"If-None-Match": page["ETag"]}).status_code == 304


def test_ones_own_feed_is_at_an_address_that_a_new_password_changes(decided, ben, cy, client):
    address = feeds.own_address(ben)
    text = client.get(address).content.decode()
    assert re.findall(r"<entry><title>([^<]+)", text) == ["rejected: Poor One", "accepted: Good One"]
    assert parse_datetime(re.search("<updated>([^<]+)", text)[1])
    assert feeds.own_address(cy) != address
    assert "Good One" not in client.get(feeds.own_address(cy)).content.decode()
    ben.set_password("another-password")
    ben.save()
    assert client.get(address).status_code == client.get("/feeds/forged.atom").status_code == 404
