"""Submissions as JSON: each reference is previewed, and only who sent it, or a moderator, sees it."""

import pytest

from papers.models import Submission
from tests.making import bib_entry, make_paper
from tests.making_programs import make_program, told


def send(user, text, **more):
    return make_program(user).post("/api/submissions", {"text": text, **more})


def test_each_entry_is_previewed(ben):
    known = make_paper(key="known", title="Adding Up More", year=2024)
    text = bib_entry() + bib_entry(title="Adding Up More") + bib_entry(title=None)
    response = send(ben, text, note="please", filename="mine.bib")
    assert response.status_code == 201
    sent = response.json()
    assert [sent[name] for name in ("note", "filename", "text", "count", "pending")] == [
        "please",
        "mine.bib",
        text,
        3,
        3,
    ]
    assert [(e["position"], e["line"], e["found"], e["paper"]) for e in sent["entries"]] == [
        (1, 1, "new", None), (2, 6, "known", known.key), (3, 11, "invalid", None),
    ]  # fmt: skip
    assert sent["entries"][2]["reason"] != ""
    assert make_program(ben).get(f"/api/submissions/{sent['id']}").json() == sent


def test_what_was_left_out_is_told(ben):
    (entry,) = send(ben, bib_entry(month="Spring")).json()["entries"]
    assert entry["notes"] == [
        "line 5: “Spring” is no month and was left out; write month = may or month = 5."
    ]


def test_what_is_sent_is_kept_exactly_as_typed(ben):
    text = "\n  " + bib_entry() + "\t\n"
    assert send(ben, text).status_code == 201
    assert Submission.objects.get().text == text


@pytest.mark.parametrize("text", ["", "   ", "no entry at all"])
def test_what_holds_no_reference_is_refused_and_not_kept(ben, text):
    status, code, fields = told(send(ben, text))
    assert (status, code, list(fields)) == (400, "invalid", ["text"])
    assert Submission.objects.count() == 0


def test_one_sees_ones_own_and_a_moderator_everybodys(ada, ben, cy):
    sent = send(ben, bib_entry()).json()
    address = f"/api/submissions/{sent['id']}"
    assert told(make_program().get(address)) == (401, "not_authenticated", {})
    assert told(make_program(cy).get(address)) == (404, "not_found", {})
    assert make_program(ada).get(address).json() == sent
    assert [row["id"] for row in make_program(ben).get("/api/submissions").json()["results"]] == [sent["id"]]
    assert make_program(cy).get("/api/submissions").json()["results"] == []


def test_nobody_submits_without_an_account(db):
    response = send(None, bib_entry())
    assert told(response) == (401, "not_authenticated", {})
    assert "/account/tokens" in response.json()["error"]["remedy"]
    assert response["WWW-Authenticate"] == 'Bearer realm="Spectrum"'
