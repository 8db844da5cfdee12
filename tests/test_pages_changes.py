"""The public history: old beside new, of one paper or all, undone by moderators alone."""

import pytest

from papers import moderation
from papers.models import Change
from tests.desk import make_edited, text_of
from tests.making import make_paper, make_technique


@pytest.fixture
def technique(db):
    return make_technique()


def test_changes_are_public_newest_first_with_old_and_new(client, ada, technique):
    make_edited(ada, technique)
    page = client.get("/changes")
    edit, birth = page.context["changes"]
    assert (edit.verb, birth.verb) == ("edited", "published")
    assert [(row.label, row.old, row.new) for row in edit.differences] == [
        ("Year", "2024", "2023"),
        ("Pages", "1--2", "1--9"),
    ]
    assert "by ada" in text_of(page)
    assert "The year was wrong" in text_of(page)


def test_changes_of_one_paper_by_key_or_identifier_also_once_it_is_gone(client, ada, technique):
    edited = make_edited(ada, technique)
    moderation.edit(make_paper(), {"year": 2023}, who=ada, why="Another paper")
    edited.identifiers.create(scheme="doi", value="10.1234/edited")
    for typed in (edited.key, "https://doi.org/10.1234/edited"):
        shown = client.get("/changes", {"paper": typed}).context["changes"]
        assert [change.action for change in shown] == ["edit", "publish"]
    for change in Change.objects.filter(paper=edited):
        moderation.undo(change, who=ada, why="All of it")
    gone = client.get("/changes", {"paper": edited.key}).context["changes"]
    assert [change.action for change in gone] == ["undo", "undo", "edit", "publish"]


def test_a_moderator_undoes_a_change_once(client, ada, technique):
    paper = make_edited(ada, technique)
    change = Change.objects.first()
    client.force_login(ada)
    assert client.post(f"/changes/{change.pk}/undo", {"why": "It was right"}).url == "/changes"
    paper.refresh_from_db()
    assert paper.year == 2024
    again = client.post(f"/changes/{change.pk}/undo", {"why": "Once more"})
    assert again.status_code == 409
    assert "Already undone on" in text_of(again)
    assert ">Once more</textarea>" in again.content.decode()
    listed = client.get("/changes").context["changes"]
    assert [(change.action, change.undoable) for change in listed] == [
        ("undo", False),
        ("edit", False),
        ("publish", True),
    ]


def test_a_key_with_a_zero_byte_names_nothing(client, ada, technique):
    make_edited(ada, technique)
    page = client.get("/changes?paper=%00nobody")
    assert (page.status_code, list(page.context["changes"])) == (200, [])
