"""Submitting: what people send in is kept as typed and previewed entry by entry, and nothing is lost on the way."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from explorer import views_desk
from papers import intake, moderation
from papers.models import Submission
from tests.desk import text_of
from tests.making import bib_entry, make_entry, make_paper, make_technique

THREE = (
    bib_entry() + bib_entry(title="Known Already", eprint="2401.00001") + "@misc{x,\n title = {No Year}}\n"
)


@pytest.fixture
def technique(db):
    return make_technique()


@pytest.fixture
def paper(technique):
    return make_paper([("arxiv", "2401.00001")], [technique], key="known2024already", title="Known Already")


def post_submission(client, text="", note="", **files):
    return client.post("/submit", {"text": text, "note": note, **files})


def upload(content, name="refs.bib"):
    return SimpleUploadedFile(name, content)


def errors_of(response):
    form = response.context["form"]
    return [sentence for sentences in form.errors.values() for sentence in sentences]


def test_pasted_text_becomes_a_submission_with_a_line_for_each_entry(client, ben, paper):
    client.force_login(ben)
    sent = post_submission(client, THREE, note="From my reading list")
    submission = Submission.objects.get()
    assert sent.url == f"/submissions/{submission.pk}"
    assert (submission.submitted_by, submission.text, submission.note) == (ben, THREE, "From my reading list")
    page = client.get(sent.url)
    assert page.context["counts"] == {"new": 1, "known": 1, "possible": 0, "invalid": 1}
    assert [line.entry.found for line in page.context["lines"]] == ["new", "known", "invalid"]
    text = text_of(page)
    assert "3 references found: 1 new, 1 already here, 1 invalid." in text
    assert "Already here: same arXiv id, 2401.00001. Known Already" in text
    for fault in submission.entries.get(found="invalid").reason.splitlines():
        assert fault in text


def test_an_uploaded_file_is_kept_with_its_name(client, ben, technique):
    client.force_login(ben)
    post_submission(client, file=upload("\ufeff".encode() + bib_entry(author="Žďár, Ó").encode()))
    submission = Submission.objects.get()
    assert (submission.filename, submission.text) == ("refs.bib", bib_entry(author="Žďár, Ó"))


@pytest.mark.parametrize(
    ("text", "file", "sentence"),
    [
        ("", None, "Paste at least one BibTeX entry, or choose a .bib file."),
        ("   \n", None, "Paste at least one BibTeX entry, or choose a .bib file."),
        (
            "@misc{a,}",
            b"@misc{b,}",
            "You pasted text and chose a file. Send one now and the other afterwards.",
        ),
        ("", b"", "refs.bib: There is nothing in it; paste or upload at least one BibTeX entry."),
        ("", b"a" * (intake.MAX_BYTES + 1), "refs.bib is larger than 5 MB; send it in parts."),
        (
            "just words",
            None,
            "No BibTeX entry was found; one begins like @article{key, title = {...}, ...}.",
        ),
    ],
)
def test_what_cannot_be_taken_is_kept_and_told(client, ben, technique, text, file, sentence):
    client.force_login(ben)
    files = {} if file is None else {"file": upload(file)}
    page = post_submission(client, text, note="A note of mine", **files)
    assert (page.status_code, errors_of(page)) == (400, [sentence])
    assert (page.context["form"]["text"].value(), page.context["form"]["note"].value()) == (
        text,
        "A note of mine",
    )
    assert not Submission.objects.exists()


def test_the_text_of_a_refused_file_is_kept_in_the_box(client, ben, technique):
    client.force_login(ben)
    page = post_submission(client, file=upload(b"just words"))
    assert page.status_code == 400
    assert page.context["form"]["text"].value() == "just words"


def test_what_the_signed_out_type_is_kept_through_the_sign_in(client, ben, technique):
    assert "You are not signed in." in text_of(client.get("/submit"))
    asked = post_submission(client, bib_entry(), note="Mine")
    assert asked.url == f"{reverse('account_login')}?next=/submit"
    signed_in = client.post(asked.url, {"login": "ben", "password": "ben-password"})
    assert signed_in.url == "/submit"
    form = client.get("/submit").context["form"]
    assert (form["text"].value(), form["note"].value()) == (bib_entry(), "Mine")
    assert not Submission.objects.exists()
    post_submission(client, form["text"].value(), form["note"].value())
    assert Submission.objects.get().text == bib_entry()
    assert client.get("/submit").context["form"]["text"].value() is None


def test_a_file_of_the_signed_out_is_kept_as_text(client, technique):
    post_submission(client, file=upload(bib_entry().encode()))
    assert client.get("/submit").context["form"]["text"].value() == bib_entry()


def test_too_many_submissions_wait_and_lose_nothing(client, ben, technique, monkeypatch):
    monkeypatch.setattr(views_desk, "SUBMISSIONS", 1)
    client.force_login(ben)
    post_submission(client, bib_entry())
    page = post_submission(client, bib_entry(title="Another"))
    assert (page.status_code, page["Retry-After"]) == (429, "3600")
    assert page.context["form"]["text"].value() == bib_entry(title="Another")
    assert Submission.objects.count() == 1


def test_submitted_text_comes_back_as_it_was(client, ben, technique):
    submission = intake.submit(THREE, who=ben)
    client.force_login(ben)
    page = client.get(f"/submissions/{submission.pk}.bib")
    assert (page.content.decode(), page["Content-Type"]) == (THREE, "text/plain; charset=utf-8")


def test_a_submission_shows_one_kind_when_asked(client, ben, paper):
    submission = intake.submit(THREE, who=ben)
    client.force_login(ben)
    for show in ("new", "known", "invalid"):
        page = client.get(f"{submission.get_absolute_url()}?show={show}")
        assert [line.entry.found for line in page.context["lines"]] == [show]


def test_what_was_left_out_is_told_to_both(client, ben, ada, technique):
    entry = make_entry(ben, bib_entry(month="Spring"))
    note = "“Spring” is no month and was left out; write month = may or month = 5."
    for reader, address in ((ben, f"/submissions/{entry.submission_id}"), (ada, f"/moderation/{entry.pk}")):
        client.force_login(reader)
        assert note in text_of(client.get(address))


def test_what_people_typed_is_shown_as_text_only(client, ben, ada, technique):
    evil = "<script>alert(1)</script>"
    entry = make_entry(ben, bib_entry(title=evil))
    Submission.objects.update(note=evil, filename=evil)
    client.force_login(ada)
    for address in (f"/submissions/{entry.submission_id}", "/moderation", f"/moderation/{entry.pk}"):
        assert evil not in client.get(address).content.decode()


def test_the_fate_of_each_entry_is_told_with_who_and_why(client, ben, ada, technique):
    entry = make_entry(ben)
    moderation.reject(entry, who=ada, reason="Not about efficiency")
    client.force_login(ben)
    text = text_of(client.get(f"/submissions/{entry.submission_id}"))
    assert "rejected by ada" in text
    assert "Not about efficiency" in text
    row = client.get("/submissions").context["page"].object_list[0]
    assert (row.found, row.pending, row.rejected) == (1, 0, 1)
